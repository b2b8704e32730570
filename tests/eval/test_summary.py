"""summary.json and summary.md: the stable keys, the same figures in both, what matters most first."""

from __future__ import annotations

import json
import re

import pytest

from docrag.eval.analysis import analyse
from docrag.eval.record import RunRecord
from docrag.eval.summary import Summary, flatten, summarise
from docrag.types import NOT_ANSWERABLE
from tests.eval.small_runs import prediction, question, record

NO = NOT_ANSWERABLE
FIGURES = ["questions", "scored", "accuracy", "f1", "answerable", "single_page", "cross_page", "unanswerable"]
GROUPS = ["by_source", "by_doc_type", "intervals", "retrieval"]
RETRIEVAL = ["scope", "questions", "recall@1", "recall@3", "recall@5", "recall@10", "all@5", "hit@5", "ndcg@5", "mrr"]


def example(library: tuple[tuple[str, int], ...] | None = None) -> RunRecord:
    questions = [question(f"{doc}{name}", f"{doc}.pdf", NO if name == "x" else "red") for doc in range(4) for name in "abx"]
    found = [
        prediction(
            one.question_id,
            {"a": "red", "b": NO, "x": NO}[one.question_id[1]],
            read_pages=(1, 3),
            usage={"input_tokens": 100},
            ranked_library=library,
            confidence=0.2 * int(one.question_id[0]),
        )
        for one in questions
    ]
    return record(questions, found, input_price=1.0)


def summary(run: RunRecord) -> Summary:
    return summarise(run.questions, run.predictions, run.config)


def test_the_keys_that_scripts_depend_on_come_first() -> None:
    data = json.loads(json.dumps(summary(example()).to_json(), allow_nan=False))
    assert list(data)[: len(FIGURES) + len(GROUPS)] == [*FIGURES, *GROUPS]
    assert list(data)[-3:] == ["usage", "cost", "config"]
    assert list(data["retrieval"])[: len(RETRIEVAL)] == RETRIEVAL
    assert (data["accuracy"], data["answerable"], data["unanswerable"]) == pytest.approx((2 / 3, 1 / 2, 1))
    assert (data["usage"], data["cost"]) == ({"input_tokens": 1200}, pytest.approx(0.0012))
    assert data["config"] == example().config


def test_json_tells_what_the_analysis_found() -> None:
    run = example()
    data, analysis = summary(run).to_json(), analyse(run)
    assert data["balanced"]["value"] == 0.75
    assert data["abstention"]["precision"] == {"value": 0.5, "interval": data["abstention"]["precision"]["interval"]} | {
        "questions": 8,
        "documents": 4,
    }
    assert data["strict"]["accuracy"] == analysis.headline["strict_accuracy"].to_json()
    assert data["breakdowns"]["doc_type"]["answerable"]["Report"]["value"] == 0.5
    assert data["evidence"]["answer_given_all"]["questions"] == 8
    assert data["recall_at_k"]["document"]["x"][:2] == [1.0, 2.0]
    assert data["spending"]["seconds_median"] == 0.1
    assert data["counts"]["refused"] == 8
    low, high = data["intervals"]["answerable"]
    assert (low, high) == (analysis.headline["answerable"].low, analysis.headline["answerable"].high)


def test_where_both_scopes_were_ranked_both_are_told() -> None:
    run = example(library=(("0.pdf", 3), ("1.pdf", 3)))
    data = summary(run).to_json()
    assert (data["retrieval"]["scope"], data["retrieval_library"]["scope"]) == ("document", "library")
    assert data["retrieval_library"]["recall@3"] == 0.5
    in_library = summarise(run.questions, run.predictions, {**run.config, "scope": "library"}).to_json()
    assert in_library["retrieval"] == data["retrieval_library"]
    assert "retrieval_library" not in in_library
    assert "retrieval_library" not in summary(example()).to_json()


def test_markdown_has_the_figures_first_and_the_settings_last() -> None:
    text = summary(example()).to_markdown()
    lines = text.splitlines()
    assert lines[0] == "# Results"
    assert lines[2].startswith("12 questions about 4 documents: 4 answered, 8 refused. ")
    assert "| on answerable questions | 50.0 | " in text
    headline = [line.split(" | ")[0] for line in lines[6:9]]
    assert headline == ["| accuracy, official", "| on answerable questions", "| on unanswerable questions (UNA)"]
    assert text.index("| setting |") > text.index("| a question took |") > text.index("| pages needed |")
    assert re.search(r"\| Report \| 66.7 \| .* \| 12 \| 50.0 \| 100.0 \|", text)
    assert "| 100.0 | 50.0 | as it stands |" in text
    assert text.endswith("\n")


def test_tables_have_as_many_cells_as_heads() -> None:
    run = example(library=(("0.pdf", 3),))
    hostile = [question("h", "h|\n.pdf", doc_type="a | b\n<script>", evidence_sources=("|",))]
    run = record([*run.questions, *hostile], [*run.predictions.values(), prediction("h", "|")], reader="x|y\nz")
    for table in summary(run).to_markdown().split("\n\n"):
        rows = [re.findall(r"(?<!\\)\|", line) for line in table.splitlines() if line.startswith("|")]
        assert len({len(row) for row in rows}) <= 1
    assert "a \\| b <script>" in summary(run).to_markdown()


def test_a_run_that_is_not_finished_says_so() -> None:
    run = example()
    begun = RunRecord(run.folder, run.name, run.config, run.questions, dict(list(run.predictions.items())[:6]))
    text = summary(begun).to_markdown()
    assert "2 answered, 4 refused, 6 unscored. What is unscored counts as wrong." in text
    assert summary(begun).to_json()["accuracy"] == pytest.approx(4 / 12)


def test_pages_alone() -> None:
    run = example()
    found = [prediction(one.question_id, None) for one in run.questions]
    pages = summary(record(list(run.questions), found))
    data = json.loads(json.dumps(pages.to_json(), allow_nan=False))
    assert (data["accuracy"], data["intervals"]["accuracy"], data["balanced"]["value"]) == (None, None, None)
    text = pages.to_markdown()
    assert "12 unscored." in text
    assert "| answers |" not in text
    assert "| recall | 0.0 (0.0 to 60.2) | 100.0 (39.8 to 100.0) |" in text


def test_one_document_has_no_interval() -> None:
    data = summary(record([question("a"), question("b")], [prediction("a"), prediction("b", "blue")])).to_json()
    assert (data["accuracy"], data["intervals"]["accuracy"]) == (0.5, None)


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [2]}) == [("a.b", 1), ("a.c", {}), ("d", [2])]


def test_why_questions_failed_is_told_the_most_frequent_reason_first() -> None:
    reasons = ["the server is gone", "no document is called 'x.pdf'", "the server is gone", "", "a " * 500, "cut\noff."]
    questions = [question(f"{number}") for number in range(7)]
    failed = [prediction(f"{number}", "Fail to answer", why=why) for number, why in enumerate(reasons)]
    found = summary(record(questions, [*failed, prediction("6")]))
    assert list(found.to_json()["failures"].values()) == [2, 1, 1, 1, 1]
    assert (
        "6 of 7 questions failed, and count as wrong. 2: the server is gone; 1: no document is called 'x.pdf'; "
        "1: no reason is on record; 2 other reasons.\n"
    ) in found.to_markdown()
    assert "failed, and" not in summary(example()).to_markdown()
