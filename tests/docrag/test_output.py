"""The JSON of a result in pieces is the JSON of it whole."""

from __future__ import annotations

import json
from dataclasses import replace

from docrag.output import json_pieces, report_json, to_json_text
from docrag.types import Failure, IngestReport, Tally

REPORT = IngestReport(Tally(1, 2, 0), Tally(3), ocr=0, unread=0, failures=(), seconds=2.0)
GONE = Failure("gone\udcff.pdf", "source", "FileNotFoundError", "No such file or directory", "check the path")


def test_a_report_is_one_object_whether_nothing_failed_or_much() -> None:
    for failures in ((), (GONE,), (GONE, replace(GONE, document="locked.pdf"))):
        found = json.loads("".join(json_pieces(report_json(replace(REPORT, failures=failures)))))
        assert [failure["document"] for failure in found["failures"]] == [failure.document for failure in failures]
        assert (found["schema_version"], found["documents"]["failed"], found["seconds"]) == (1, 2, 2.0)


def test_what_holds_no_iterator_is_written_as_json_writes_it() -> None:
    result = {"question": "caf\u00e9", "hits": [{"score": 0.5, "box": None}], "k": 5}
    assert to_json_text(result) == json.dumps({"schema_version": 1, **result})
