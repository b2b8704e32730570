"""The command line: its JSON, its exit codes, its messages. In this process where that is enough, else as the real program."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from docrag.cli import main, make_parser
from docrag.client import Library
from docrag.errors import UsageError
from docrag.index.blobs import BlobStore
from docrag.index.records import document_id
from docrag.index.store import Point
from tests.ingest import hostile
from tests.libraries import cli, cli_command, copied, open_index

ODD = os.fsdecode(b"odd \xff\n.pdf")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three documents: two alike in name, one encrypted."""
    folder = tmp_path_factory.mktemp("files")
    for year, sold in (("2022", 310), ("2023", 470)):
        (folder / year).mkdir()
        hostile.text_pdf(
            folder / year / "harbour.pdf",
            [f"Harbour report {year}\n\nThe harbour is old.", f"In {year} the harbour sold {sold} boats.", "The sea was calm."],
        )
    hostile.encrypted_pdf(folder / "vault.pdf", "The vault holds nine coins.", "sesame")
    return folder


@pytest.fixture(scope="module")
def index(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "index"
    assert main(["ingest", str(files), "--index", str(folder), "--ocr", "never", "--password", "sesame"]) == 0
    return folder


@pytest.fixture
def own_index(index: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return copied(index, tmp_path / "index")


@pytest.fixture
def password_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_PASSWORD", "sesame")


class Told:
    """What one command said."""

    def __init__(self, exit_code: int, output: str, messages: str) -> None:
        self.exit_code, self.output, self.messages = exit_code, output, messages

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.output.endswith("\n")
        assert self.output.count("\n") == 1
        told = json.loads(self.output)
        assert told.pop("schema_version") == 1
        return told


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run_command(*arguments: object) -> Told:
        exit_code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Told(exit_code, captured.out, captured.err)

    return run_command


# -- the JSON that scripts depend on -----------------------------------------------------------------------------------------


def test_json_of_ingest(run: Any, files: Path, tmp_path: Path) -> None:
    told = run("ingest", files, tmp_path / "gone.pdf", "--index", tmp_path / "index", "--ocr", "never", "--json")
    result = told.json
    assert told.exit_code == 1
    assert list(result) == ["documents", "pages", "visual_encoder", "seconds", "pages_per_second", "failures"]
    assert result["documents"] == {"attempted": 4, "ok": 2, "failed": 2, "skipped": 0}
    assert result["pages"] == {"attempted": 6, "ok": 6, "failed": 0, "skipped": 0, "ocr": 0, "unread": 0, "visual": 0}
    assert result["failures"] == [
        {
            "document": str(tmp_path / "gone.pdf"),
            "page_number": None,
            "stage": "source",
            "error": "FileNotFoundError",
            "message": "No such file or directory",
            "hint": "check the path",
        },
        {
            "document": str(files / "vault.pdf"),
            "page_number": None,
            "stage": "open",
            "error": "PdfPassword",
            "message": "it is encrypted",
            "hint": "give its password with --password or DOCRAG_PASSWORD",
        },
    ]


def test_json_of_search(run: Any, index: Path) -> None:
    told = run("search", "how many boats were sold", "--index", index, "-k", 2, "--json")
    assert told.exit_code == 0
    assert list(told.json) == ["hits", "milliseconds"]
    hits = told.json["hits"]
    assert len(hits) == 2
    assert list(hits[0]) == ["document", "page_number", "page_label", "score", "lanes", "snippet", "box"]
    assert {hit["document"] for hit in hits} == {"2022/harbour.pdf", "2023/harbour.pdf"}
    assert (hits[0]["page_number"], hits[0]["page_label"]) == (2, None)
    assert 0 <= hits[0]["score"] <= 1
    assert {lane: list(found) for lane, found in hits[0]["lanes"].items()} == {
        "passages": ["score", "rank"],
        "bm25": ["score", "rank"],
    }
    assert "boats" in hits[0]["snippet"]
    assert len(hits[0]["box"]) == 4


def test_json_of_ask(run: Any, index: Path) -> None:
    told = run("ask", "How many boats were sold in 2023?", "--doc", "2023/harbour.pdf", "--index", index, "--json")
    result = told.json
    keys = ["answer", "outcome", "confidence", "reader", "citations", "context", "usage", "milliseconds", "trace"]
    assert (told.exit_code, list(result)) == (0, keys)
    assert (result["answer"], result["outcome"], result["reader"]) == ("470", "answered", "quote")
    (citation, *_) = result["citations"]
    assert list(citation) == ["document", "page_number", "page_label", "quote", "box", "verified"]
    assert (citation["document"], citation["page_number"], citation["verified"]) == ("2023/harbour.pdf", 2, True)
    assert list(result["context"]) == ["tokens", "budget", "parts"]
    keys = ["kind", "document", "page_number", "tokens", "image_size_px", "clip", "why"]
    assert [list(part) for part in result["context"]["parts"]] == [keys] * 6
    assert result["trace"]["rounds"][0]["pages"] == 3


def test_text_of_ingest(run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile.broken_page_pdf(tmp_path / "broken.pdf")
    hostile.scanned_pdf(tmp_path / "scan.pdf", "only a picture")
    monkeypatch.setenv("PATH", str(tmp_path))  # no Tesseract there
    told = run("ingest", tmp_path, files / "vault.pdf", "--index", tmp_path / "index")
    first, second, third, *rest = told.output.splitlines()
    assert first == "3 documents: 2 ok, 1 failed, 0 skipped"
    assert second == "4 pages: 3 ok, 1 failed, 0 skipped; 0 read by OCR"
    assert re.fullmatch(r"\d+\.\d s, [\d.]+ pages/s", third)
    hint = "try to open it in a viewer"
    assert rest == [
        "unread pages: 1 (OCR was off, or Tesseract is missing: apt-get install tesseract-ocr)",
        f"failed: {files}/vault.pdf: it is encrypted (give its password with --password or DOCRAG_PASSWORD)",
        f"failed: {tmp_path}/broken.pdf, page 2: nothing of the page can be shown (non-page object in page tree) ({hint})",
    ]
    assert told.exit_code == 1


def test_text_of_search_and_ask(run: Any, index: Path) -> None:
    asked = ("search", "boats sold", "--doc", "2023/harbour.pdf", "-k", 1, "--index", index)
    told = run(*asked).output.splitlines()
    assert re.fullmatch(r"1\. 2023/harbour\.pdf, page 2  score [01]\.\d{3}", told[0])
    assert told[1:] == ["   In 2023 the harbour sold 470 boats."]
    told = run(*asked, "--explain").output.splitlines()
    assert told[0] == "plan: 2 queries in one request, over 3 pages"
    assert re.fullmatch(r"   passages -?\d\.\d{3} \(rank 1, 33 %\), bm25 \d\.\d{3} \(rank 1, 67 %\)", told[-2])
    told = run("ask", "How many boats were sold in 2023?", "--doc", "2023/harbour.pdf", "--index", index).output.splitlines()
    assert re.fullmatch(r"470  \(confidence [01]\.\d\d, reader quote\)", told[0])
    assert told[1].startswith('  2023/harbour.pdf, page 2: "')
    told = run("ask", "Who painted the lighthouse of Ushant?", "--index", index)
    assert told.exit_code == 0
    assert told.output.startswith("Not answerable  (confidence ")
    assert "\n  refused: " in told.output
    assert "\n  read: " in told.output


FIGURES = ["questions", "scored", "accuracy", "f1", "answerable", "single_page", "cross_page", "unanswerable"]
GROUPS = ["by_source", "by_doc_type"]
FURTHER = (
    "counts", "failures", "balanced", "strict", "abstention", "evidence", "breakdowns", "recall_at_k", "recall_at_tokens",
    "tradeoff", "spending",
)  # fmt: skip
RETRIEVAL = ["scope", "questions", "recall@1", "recall@3", "recall@5", "recall@10", "all@5", "hit@5", "ndcg@5", "mrr"]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    common = {"doc_type": "Report", "evidence_sources": "['Pure-text (Plain-text)']"}
    asked = [
        ("harbour.pdf", "How many boats were sold in 2023?", "470", "[2]", "Int"),
        ("harbour.pdf", "Who painted the lighthouse?", "Not answerable", "[]", "None"),
        ("missing.pdf", "How many?", "3", "[1]", "Int"),
    ]
    entries = [
        {
            **common,
            "doc_id": Path(doc).name,
            "question": question,
            "answer": answer,
            "evidence_pages": pages,
            "answer_format": form,
        }
        for doc, question, answer, pages, form in asked
    ]
    (folder / "samples.json").write_text(json.dumps(entries))
    return folder


def test_json_of_eval_and_score(run: Any, files: Path, samples: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    assert run("ingest", files / "2023", "--index", index, "--ocr", "never").exit_code == 0
    told = run("eval", "mmlongbench-doc", "--data", samples, "--index", index, "--out", tmp_path / "run", "--json")
    result = told.json
    assert list(result) == [*FIGURES, *GROUPS, "intervals", "retrieval", *FURTHER, "usage", "cost", "config"]
    assert list(result["retrieval"])[: len(RETRIEVAL)] == RETRIEVAL
    assert (told.exit_code, result["questions"], result["scored"]) == (
        1,
        3,
        3,
    )  # one document is not there: it counts, as wrong
    assert (result["retrieval"]["questions"], result["retrieval"]["recall@3"]) == (2, 0.5)
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"predictions.jsonl", "summary.json", "summary.md"}
    scored = run("score", tmp_path / "run" / "predictions.jsonl", "--questions", samples / "samples.json", "--json")
    assert scored.exit_code == 0
    assert list(scored.json) == [*FIGURES, *GROUPS, "scored_only", "strict", "coverage", "items"]
    assert [list(item)[:2] for item in scored.json["items"]] == [["question_id", "score"]] * 3
    assert scored.json["accuracy"] == result["accuracy"]
    again = run("eval", "mmlongbench-doc", "--data", samples, "--index", index, "--out", tmp_path / "run", "--json")
    assert again.exit_code == 2
    resumed = run(
        "eval", "mmlongbench-doc", "--data", samples, "--index", index, "--out", tmp_path / "run", "--resume", "--json"
    )
    assert resumed.json["accuracy"] == result["accuracy"]


def test_list_and_show(run: Any, index: Path, tmp_path: Path) -> None:
    listed = run("list", "--index", index, "--json").json["documents"]
    assert [document["document"] for document in listed] == ["2022/harbour.pdf", "2023/harbour.pdf", "vault.pdf"]
    assert run("list", "--index", index).output.splitlines()[0] == "     3 pages  complete  2022/harbour.pdf"
    shown = run("show", "2023/harbour.pdf", "--index", index, "--json").json
    assert (shown["pages"], shown["status"], shown["failures"]) == (3, "complete", [])
    assert shown == listed[1]
    page = run("show", "2023/harbour.pdf", "--page", 2, "--index", index, "--json").json
    assert page["text"] == "In 2023 the harbour sold 470 boats."
    picture = tmp_path / "page.png"
    told = run("show", "vault.pdf", "--page", 1, "--out", picture, "--index", index)
    assert (told.exit_code, told.output) == (2, "")
    assert told.messages.startswith("docrag: it is encrypted\n")
    assert not picture.exists()
    told = run("show", "vault.pdf", "--page", 1, "--out", picture, "--password", "sesame", "--index", index)
    assert (told.exit_code, told.output) == (0, "The vault holds nine coins.\n")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_encrypted_documents_are_searched_without_a_password(run: Any, index: Path) -> None:
    assert run("search", "coins in the vault", "-k", 1, "--index", index, "--json").json["hits"][0]["document"] == "vault.pdf"


def test_the_password_may_stand_in_the_environment(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCRAG_PASSWORD", "sesame")
    assert run("ingest", files / "vault.pdf", "--index", tmp_path / "index", "--ocr", "never").exit_code == 0


def test_delete(run: Any, own_index: Path, files: Path) -> None:
    told = run("delete", "2022/harbour.pdf", "--index", own_index)
    assert (told.exit_code, told.output) == (0, f"deleted {files}/2022/harbour.pdf\n")
    assert len(run("list", "--index", own_index, "--json").json["documents"]) == 2
    assert (files / "2022" / "harbour.pdf").exists()
    assert run("verify", "--index", own_index).exit_code == 0


# -- wrong questions and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["search", "", "--index", "I"], "UsageError", "the question is empty"),
        (["search", " \n", "--index", "I"], "UsageError", "the question is empty"),
        (["ask", "", "--index", "I"], "UsageError", "the question is empty"),
        (["search", "x", "-k", "0", "--index", "I"], "UsageError", "k is the number of pages to find, 1 or more, got 0"),
        (["ask", "x", "-k", "0", "--index", "I"], "UsageError", "k must be positive, got 0"),
        (["ask", "x", "--budget", "0", "--index", "I"], "UsageError", "a budget is a number of tokens such as 32768, or 32k"),
        (["search", "x", "-k", "five", "--index", "I"], "UsageError", "argument -k: invalid int value: 'five'"),
        (["search", "x", "--doc", "harbor.pdf", "--index", "I"], "UnknownDocument", "no document is called 'harbor.pdf'"),
        (["search", "x", "--doc", "harbour.pdf", "--index", "I"], "AmbiguousDocument", "'harbour.pdf' means 2 documents: "),
        (["show", "*", "--index", "I"], "AmbiguousDocument", "'*' means 3 documents, one is wanted"),
        (["show", "vault.pdf", "--page", "2", "--index", "I"], "UsageError", "there is no page 2"),
        (["show", "vault.pdf", "--out", "x", "--index", "I"], "UsageError", "--out draws one page"),
        (["ask", "x", "--reader", "oracle", "--index", "I"], "UsageError", "no reader is called 'oracle'"),
        (["list", "--index", "/nowhere/at/all"], "IndexMissing", "there is no index at /nowhere/at/all"),
        (["list", "--index", ""], "UsageError", "the index has no name"),
        (["list", "--index", __file__], "UsageError", f"--index {__file__} is a file, not a folder"),
        (["list", "--index", os.path.dirname(__file__)], "UsageError", " is no index of docrag, and it is not empty"),  # noqa: PTH120
        (
            ["ingest", "x", "--index", "I", "--ocr", "always"],
            "IndexMismatch",
            "ocr is 'never' in the index, asked for was 'always'",
        ),
        (
            ["ingest", "x", "--index", "I", "--workers", "-1"],
            "UsageError",
            "workers must be 0 (one for each core) or more, got -1",
        ),
        (["ingest", "--index", "I"], "UsageError", "no source is named"),
        (["list", "--index", "I", "--colour"], "UsageError", "unrecognized arguments: --colour"),
        (["dance"], "UsageError", "argument COMMAND: invalid choice: 'dance'"),
        (["eval", "mmlongbench-doc", "--data", "/nowhere", "--index", "I"], "UsageError", "/nowhere"),
        (["score", "/nowhere.jsonl"], "UsageError", "/nowhere.jsonl"),
    ],
)
def test_wrong_arguments(run: Any, index: Path, arguments: list[str], kind: str, message: str) -> None:
    given = [str(index) if argument == "I" else argument for argument in arguments]
    told = run(*given, "--json")
    assert told.exit_code == 2
    assert list(told.json) == ["error", "message", "hint"]
    assert told.json["error"] == kind
    assert message in told.json["message"]
    assert f"docrag: {told.json['message']}" in told.messages
    assert "Traceback" not in told.messages


def test_an_unknown_document_suggests_the_nearest(run: Any, index: Path) -> None:
    told = run("search", "x", "--doc", "vualt.pdf", "--index", index)
    assert told.messages.startswith("docrag: no document is called 'vualt.pdf'\n  did you mean 'vault.pdf'")
    assert told.output == ""


@pytest.mark.parametrize("question", ["the of and is a", "?!", "boats " * 17_000, "報告 ☃ \x00 \ud800"])
def test_odd_questions_are_asked(run: Any, index: Path, question: str) -> None:
    told = run("search", question, "--index", index, "--json")
    assert told.exit_code == 0
    assert len(told.json["hits"]) == 5
    asked = run("ask", question, "--index", index, "--json")
    assert asked.exit_code == 0
    assert asked.json["outcome"] in {"answered", "not_answerable"}


def test_an_index_that_is_open_elsewhere(run: Any, index: Path) -> None:
    with open_index(index):
        told = run("list", "--index", index)
    assert (told.exit_code, told.output) == (2, "")
    assert "is open in another process\n  wait until that one is done, or stop it\n" in told.messages
    assert run("list", "--index", index).exit_code == 0


def test_an_output_file_that_can_not_be_written(run: Any, index: Path, tmp_path: Path) -> None:
    told = run("show", "2023/harbour.pdf", "--page", 1, "--out", tmp_path / "no" / "folder.png", "--index", index, "--json")
    assert (told.exit_code, told.json["error"]) == (2, "EnvironmentFault")
    assert "No such file or directory" in told.json["message"]


def test_a_mistake_of_docrag_is_no_exit_code_1(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(Library, "documents", broken)
    monkeypatch.setattr(Library, "index", None)
    told = run("list", "--json")
    assert (told.exit_code, told.json["error"]) == (2, "ZeroDivisionError")
    assert "Traceback" in told.messages


# -- damage -------------------------------------------------------------------------------------------------------------------


def test_verify_finds_a_missing_pdf_and_repair_has_it_brought_back(run: Any, own_index: Path, files: Path) -> None:
    assert run("verify", "--index", own_index).exit_code == 0
    with open_index(own_index) as opened:
        (sha256,) = opened.resolve_documents(["vault.pdf"])
    BlobStore(str(own_index / "blobs")).delete(sha256)
    told = run("verify", "--index", own_index, "--json")
    assert told.exit_code == 1
    assert [finding["kind"] for finding in told.json["findings"]] == ["missing_blob"]
    assert told.json["ingest_again"] == [str(files / "vault.pdf")]
    told = run("show", "vault.pdf", "--page", 1, "--out", own_index / "x.png", "--index", own_index)
    assert told.exit_code == 2
    assert "is missing from" in told.messages
    assert run("verify", "--repair", "--index", own_index).exit_code == 1  # damage was found
    again = run("ingest", files / "vault.pdf", "--index", own_index, "--password", "sesame", "--json")
    assert again.json["documents"] == {"attempted": 1, "ok": 0, "failed": 0, "skipped": 1}
    assert run("verify", "--index", own_index).exit_code == 0


def test_verify_finds_a_damaged_record_and_repair_takes_it_away(run: Any, own_index: Path, files: Path) -> None:
    with open_index(own_index) as opened:
        (sha256,) = opened.resolve_documents(["vault.pdf"])
        opened.store.upsert("documents", [Point(document_id(sha256), {"kind": "document", "document": 3})])
    assert run("search", "harbour", "--index", own_index).exit_code == 0  # the others work
    assert "is damaged" in run("list", "--index", own_index).messages
    told = run("verify", "--index", own_index)
    assert told.exit_code == 1
    assert told.output.splitlines()[-1] == f"ingest again: {files / 'vault.pdf'}"
    assert run("verify", "--repair", "--index", own_index).exit_code == 1
    assert run("verify", "--index", own_index).exit_code == 0
    assert run("ingest", files, "--index", own_index, "--password", "sesame").exit_code == 0
    assert len(run("list", "--index", own_index, "--json").json["documents"]) == 3


# -- the program itself -------------------------------------------------------------------------------------------------------


def test_of_many_failures_the_text_names_some_and_the_json_all(tmp_path: Path) -> None:
    names = "\n".join(str(tmp_path / f"gone {number}.pdf") for number in range(1_000)).encode()
    told = cli("ingest", "-", "--index", tmp_path / "index", stdin=names)
    lines = told.stdout.decode().splitlines()
    assert sum(line.startswith("failed: ") for line in lines) == 100
    assert lines[-1] == "and 900 more failed: --json names them all"
    told = cli("ingest", "-", "--index", tmp_path / "index", "--json", stdin=names)
    assert told.stdout.count(b"\n") == 1
    assert [failure["document"] for failure in json.loads(told.stdout)["failures"]] == names.decode().split("\n")


def test_names_of_any_bytes_in_and_out(tmp_path: Path) -> None:
    pdf = hostile.text_pdf(tmp_path / "a", ["one page"]).rename(tmp_path / ODD)
    index = tmp_path / "index"
    told = cli("ingest", "-", "--index", index, "--ocr", "never", "--json", stdin=os.fsencode(pdf) + b"\0")
    assert (told.returncode, json.loads(told.stdout)["documents"]["ok"]) == (0, 1)
    assert all(" documents, " in line for line in told.stderr.decode().splitlines())  # no bar: there is no terminal here
    told = cli("list", "--index", index, "--json", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"})
    assert json.loads(told.stdout)["documents"][0]["document"] == ODD
    told = cli("list", "--index", index)
    assert (told.returncode, told.stdout) == (0, b"     1 pages  complete  odd \\udcff\n.pdf\n")
    told = cli("delete", os.fsencode(pdf).decode(errors="surrogateescape"), "--index", index)
    assert told.returncode == 0


def test_a_closed_pipe_is_no_error(index: Path) -> None:
    command = " ".join(f"'{part}'" for part in cli_command("list", "--index", index))
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_unknown_variables_are_warned_of_once(index: Path) -> None:
    told = cli("list", "--index", index, env={"DOCRAG_ORC": "never"})
    assert told.returncode == 0
    assert told.stderr.decode() == "docrag: unknown setting DOCRAG_ORC; did you mean DOCRAG_OCR?\n"


def test_help_names_every_command_and_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for command in ("demo", "ingest", "search", "ask", "list", "show", "delete", "verify", "eval", "score"):
        assert re.search(rf"^    {command} ", told, re.MULTILINE), command
    with pytest.raises(SystemExit):
        main(["--version"])
    assert re.fullmatch(r"docrag \d+\.\d+\.\d+\n", capsys.readouterr().out)
    with pytest.raises(UsageError, match="the following arguments are required: COMMAND"):
        make_parser().parse_args([])
