"""The Python door: bring PDFs in, find pages, ask. Before: `make demo`, which draws the PDFs in demo-out/documents.

Run it as `.venv/bin/python examples/python_api.py`. A second run skips the files unread: they have not changed.
"""

import docrag

QUESTIONS = (
    "Where did Nettlefoss open its new foundry in 2025?",
    "What was the chief executive of Nettlefoss paid in 2025?",
)

with docrag.open("demo-out/library") as library:
    report = library.ingest(["demo-out/documents"])
    print(f"{report.documents.attempted} documents, {report.documents.skipped} of them unchanged")
    for failure in report.failures:  # a broken PDF or page is on record, and costs the others nothing
        print(failure.document, failure.page_number, failure.message, failure.hint)

    for hit in library.search("operating margin by segment", documents=["nettlefoss-*"], k=2):
        print(f"{hit.name}, page {hit.page.page_number}, printed {hit.page.page_label}, score {hit.score:.2f}")

    for question in QUESTIONS:
        answer = library.ask(question)
        print(f"{question} {answer.text} ({answer.outcome})")
        for citation in answer.citations:
            print(f'  {citation.document}, page {citation.page_number}: "{citation.quote}" in {citation.box}')
