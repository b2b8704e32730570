#!/bin/sh
# A benchmark run: pages found and answers on the demo's fourteen questions, which have MMLongBench-Doc's form, and their scores.
# Before: `make demo`, and `. .venv/bin/activate`. Then: sh examples/benchmark.sh
set -eu
data=demo-out # or another folder with samples.json and documents/
run=$data/example-run

# --resume goes on where a killed run stopped; the same again asks nothing twice.
docrag eval mmlongbench-doc --data "$data" --index "$data/library" --reader quote --out "$run" --resume

# The predictions are a file like anybody's: the score does not ask what made them.
docrag score "$run/predictions.jsonl" --questions "$data/samples.json"
