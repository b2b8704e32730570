#!/bin/sh
# docrag from a script: with --json, one JSON object on stdout; messages on stderr; exit code 0, 1 (something failed) or 2 (usage).
# Before: `make demo`, and `. .venv/bin/activate`. Then: sh examples/command_line.sh
set -eu
index=demo-out/library

# Prints what a Python expression makes of the JSON `it`, in the manner of jq.
pick() { python -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

docrag ingest demo-out/documents --index "$index" --json > demo-out/ingest.json
pick '"documents skipped:", it["documents"]["skipped"]' < demo-out/ingest.json

docrag ask "Where did Nettlefoss open its new foundry in 2025?" --index "$index" --doc "nettlefoss-*" --json > demo-out/answer.json
pick '"answer:", it["answer"], [cited["page_number"] for cited in it["citations"]]' < demo-out/answer.json

document=$(pick 'it["citations"][0]["document"]' < demo-out/answer.json)
page=$(pick 'it["citations"][0]["page_number"]' < demo-out/answer.json)
docrag show "$document" --page "$page" --out demo-out/page.png --index "$index" --json > demo-out/page.json
pick '"drawn:", it["image"]' < demo-out/page.json

# What can't be done says why, in JSON as well.
code=0
docrag search "margin" --index demo-out/nowhere --json > demo-out/error.json 2> /dev/null || code=$?
pick "\"exit code $code:\", it[\"message\"]" < demo-out/error.json
