"""Readers through the doors: the command line, the library and the benchmark, on a real server, a local model, and fakes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import docrag
from docrag.benchmark import BenchmarkOptions, evaluate
from docrag.cli import main
from docrag.client import Library
from docrag.errors import IndexMissing, UsageError
from docrag.eval.predictions import read_predictions
from docrag.pipelines.tokens import QWEN2_VL, TokenRule
from docrag.testing import HashEncoder, ScriptedReader
from docrag.types import NOT_ANSWERABLE, Answer, Citation, Reading
from tests.ingest import hostile
from tests.serving import Reply, chat_reply, error_reply, free_port, stream_reply, told_server

pytestmark = pytest.mark.usefixtures("one_thread", "serving")
QUESTION = "How many boats were sold in 2023?"
SAID = {
    "reasoning": "Page 2 says it.",
    "outcome": "answered",
    "answer": "470",
    "citations": [{"document": "boats.pdf", "page": 2, "quote": "It sold 470 boats"}],
    "confidence": 0.8,
}
SAYS = chat_reply(json.dumps(SAID))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents of pages with pictures, and twenty questions about each."""
    folder = tmp_path_factory.mktemp("readers")
    (folder / "documents").mkdir()
    samples: list[dict[str, str]] = []
    for name, sold in (("boats", 470), ("trains", 31)):
        pages = ["The harbour is old.", f"It sold {sold} {name} in 2023.", "The sea was calm."]
        hostile.text_pdf(folder / "documents" / f"{name}.pdf", pages, size=(300, 400))
        for year in range(2004, 2024):
            answer = str(sold) if year == 2023 else NOT_ANSWERABLE
            samples.append(
                {
                    "doc_id": f"{name}.pdf",
                    "doc_type": "Report",
                    "question": f"How many {name} were sold in {year}?",
                    "answer": answer,
                    "evidence_pages": "[2]" if year == 2023 else "[]",
                    "evidence_sources": "['Chart']" if year == 2023 else "[]",
                    "answer_format": "Int" if year == 2023 else "None",
                }
            )
    (folder / "samples.json").write_text(json.dumps(samples))
    return folder


@pytest.fixture(scope="module")
def index(data: Path) -> Path:
    hostile.encrypted_pdf(data / "vault.pdf", "The vault holds nine coins.", "sesame")
    with hashed(data / "library") as library:
        assert library.ingest([data / "documents", data / "vault.pdf"], password="sesame").pages.ok == 7
    return data / "library"


def hashed(location: Path, **settings: Any) -> Library:
    """A library that loads no encoder."""
    library = docrag.open(location, **{"ocr": "never", "workers": 1, "reader_retries": 0, **settings})
    library.encoder = HashEncoder()  # type: ignore[assignment]
    return library


@pytest.fixture
def run(
    index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """`docrag COMMAND ... --index` in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(Library, "encoder", HashEncoder())
    monkeypatch.setenv("DOCRAG_READER_RETRIES", "0")
    monkeypatch.setenv("DOCRAG_WORKERS", "1")

    def run_command(*arguments: object) -> tuple[int, str, str]:
        exit_code = main([*map(str, arguments), "--index", str(index)])
        told = capsys.readouterr()
        return exit_code, told.out, told.err

    return run_command


def texts_and_images(request: dict[str, Any]) -> list[str]:
    """What a server was sent of the user's message: texts as they are, "image" for each image."""
    return [block["text"] if block["type"] == "text" else "image" for block in request["messages"][1]["content"]]


# --- a server that says what it is told to ---


def test_what_a_model_answers_and_what_it_was_shown(run: Any) -> None:
    with told_server(SAYS) as server:
        asked = ("ask", QUESTION, "--doc", "boats.pdf", "--reader", "openai:gpt-4o", "--base-url", server.url)
        exit_code, output, _ = run(*asked, "--json")
        told = json.loads(output)
        text = run(*asked)[1].splitlines()
    assert (exit_code, told["answer"], told["outcome"], told["confidence"]) == (0, "470", "answered", 0.8)
    assert told["reader"] == "openai:gpt-4o"
    [citation] = told["citations"]
    assert (citation["document"], citation["page_number"], citation["verified"]) == ("boats.pdf", 2, True)
    assert len(citation["box"]) == 4
    assert told["usage"] == {"calls": 1, "images": 3, "input_tokens": 7, "output_tokens": 3}
    assert told["trace"]["numbers"] == [{"number": "470", "verified": True, "page_number": 2}]
    assert set(told["trace"]["prompts"]) == {"version", "sha256"}
    blocks = texts_and_images(server.requests[0])
    order = [block if block == "image" else re.findall(r"boats\.pdf, page (\d)", block) for block in blocks]
    kinds = [part["kind"] for part in told["context"]["parts"]]
    assert [kind for kind in order if kind == "image"] == ["image"] * kinds.count("image")
    assert [number for numbers in order if numbers != "image" for number in numbers] == ["1", "2", "3"]
    assert blocks[-1].endswith(f"Question: {QUESTION}\n\nReply with the JSON object only.")
    assert text == [
        "470  (confidence 0.80, reader openai:gpt-4o)",
        '  boats.pdf, page 2: "It sold 470 boats"',
        "  1 call, 3 images, 7 tokens read, 3 written",
    ]


def test_what_can_not_be_checked_is_shown_as_such(run: Any) -> None:
    lies = {
        **SAID,
        "answer": "471 \x1b[31mboats",
        "citations": [
            {"document": "boats.pdf", "page": 2, "quote": "It sold 471 boats"},
            {"document": "secret.pdf", "page": 9, "quote": "no such page"},
        ],
    }
    with told_server(chat_reply(json.dumps(lies))) as server:
        exit_code, output, _ = run("ask", QUESTION, "--reader", "openai:m", "--base-url", server.url)
    assert exit_code == 0
    assert output.splitlines()[:4] == [
        "471 \N{REPLACEMENT CHARACTER}[31mboats  (confidence 0.80, reader openai:m)",
        '  boats.pdf, page 2: "It sold 471 boats" [not found on the page]',
        '  cites a page that it was not shown: "no such page"',
        "  not found in the text of the pages: 471",
    ]


def test_a_terminal_sees_the_answer_as_it_is_written(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    text = json.dumps(SAID)
    at = text.index("470") + 1
    with told_server(stream_reply(text[:at], text[at:])) as server:
        exit_code, output, _ = run("ask", QUESTION, "--reader", "openai:m", "--base-url", server.url)
        assert server.requests[0]["stream"] is True
        assert exit_code == 0
        assert output.startswith("470  (confidence 0.80, reader openai:m)\n")
        assert json.loads(run("ask", QUESTION, "--json", "--doc", "boats.pdf")[1])["answer"] == "470"


def test_an_answer_is_paid_for_once(run: Any, tmp_path: Path) -> None:
    with told_server(SAYS) as server:
        asked = ("ask", QUESTION, "--reader", "openai:m", "--base-url", server.url, "--cache", tmp_path / "cache.sqlite")
        first, second = (json.loads(run(*asked, "--json")[1]) for _ in range(2))
        assert len(server.requests) == 1
    assert first["answer"] == second["answer"] == "470"
    assert second["usage"] == {"cached_calls": 1, "cached_tokens": 10}


def test_navigating_and_sampling(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_INPUT_PRICE", "2.5")
    picks = chat_reply(json.dumps({"pages": [3]}))
    other = chat_reply(json.dumps({**SAID, "answer": "471", "citations": []}))
    with told_server(picks, SAYS, other, chat_reply('{"choice": 1}')) as server:
        options = ("--navigate", "--samples", 2, "--reader", "openai:m", "--base-url", server.url)
        told = json.loads(run("ask", QUESTION, "--doc", "boats.pdf", *options, "--json")[1])
        assert len(server.requests) == 4
    assert told["answer"] == "470"
    assert told["confidence"] == 0.5
    assert told["trace"]["navigated"] == {"listed": 3, "of": 3, "picked": [3], "failed": ""}
    assert [one["answer"] for one in told["trace"]["samples"]["readings"]] == ["470", "471"]
    assert told["usage"]["calls"] == 4
    assert told["trace"]["cost"] == pytest.approx(28 * 2.5 / 1e6)


def test_an_encrypted_document_is_drawn_with_its_password(run: Any) -> None:
    with told_server(SAYS) as server:
        asked = ("ask", "What does the vault hold?", "--doc", "vault.pdf", "--reader", "openai:m", "--base-url", server.url)
        without, with_it = (json.loads(run(*asked, "--json", *more)[1]) for more in ((), ("--password", "sesame")))
    assert without["usage"]["images"] == 0
    assert [part["kind"] for part in without["context"]["parts"]] == ["marker", "text"]
    assert without["trace"]["notes"] == ["page 1 of vault.pdf could not be drawn: it is encrypted"]
    assert with_it["usage"]["images"] == 1
    assert with_it["trace"]["notes"] == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (chat_reply("I would rather not say."), "it wrote no JSON object with outcome or answer"),
        (Reply(body=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"}), "gave an answer that is none"),
        (error_reply(429, "slow down"), "slow down"),
        (error_reply(500, "out of order"), "out of order"),
    ],
)
def test_a_reading_that_comes_to_nothing_is_no_answer(run: Any, reply: Reply, message: str) -> None:
    with told_server(reply) as server:
        exit_code, output, _ = run("ask", QUESTION, "--reader", "openai:m", "--base-url", server.url)
    first, *rest = output.splitlines()
    assert (exit_code, first) == (1, "Fail to answer  (confidence 0.00, reader openai:m)")
    assert any(line.startswith("  failed: ") and message in line for line in rest)


@pytest.mark.filterwarnings("default")
def test_a_model_without_vision_is_shown_text_and_that_is_said(run: Any) -> None:
    with told_server(error_reply(400, "m is not a multimodal model"), SAYS) as server:
        exit_code, output, messages = run("ask", QUESTION, "--reader", "openai:m", "--base-url", server.url, "--json")
    told = json.loads(output)
    assert (exit_code, told["answer"]) == (0, "470")
    assert {part["kind"] for part in told["context"]["parts"]} == {"marker", "text"}
    assert "it was shown text" in told["trace"]["notes"][-1] or "shown the text" in told["trace"]["notes"][0]
    assert "takes no images" in messages


def test_a_context_that_is_too_large_is_halved(run: Any) -> None:
    with told_server(error_reply(400, "maximum context length is 4096 tokens", "context_length_exceeded"), SAYS) as server:
        asked = ("ask", QUESTION, "--doc", "boats.pdf", "--reader", "openai:m", "--base-url", server.url, "--json")
        told = json.loads(run(*asked)[1])
    assert told["answer"] == "470"
    assert told["context"]["budget"] == 16_384
    assert "it was given 16384 tokens instead" in told["trace"]["notes"][0]


@pytest.mark.parametrize(
    ("reply", "message", "hint"),
    [
        (error_reply(401, "Incorrect API key provided"), "refuses the API key: Incorrect API key provided", "check the key"),
        (error_reply(404, "The model m does not exist"), "is not there: The model m does not exist", "--base-url"),
        (error_reply(429, "no credit", "insufficient_quota"), "has no quota left: no credit", "add credit"),
    ],
)
def test_a_reader_that_can_not_be_used_ends_the_command(
    run: Any, data: Path, tmp_path: Path, reply: Reply, message: str, hint: str
) -> None:
    with told_server(reply) as server:
        reader = ("--reader", "openai:m", "--base-url", server.url, "--json")
        exit_code, output, _ = run("ask", QUESTION, *reader)
        told = json.loads(output)
        assert (exit_code, told["error"]) == (2, "ReaderFault")
        assert message in told["message"]
        assert hint in told["hint"]
        assert run("eval", "mmlongbench-doc", "--data", data, "--out", tmp_path / "run", *reader)[0] == 2
    assert not (tmp_path / "run" / "predictions.jsonl").exists()  # nothing is lost: the run can be taken up


def test_a_server_that_is_down(run: Any) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    exit_code, _, messages = run("ask", QUESTION, "--reader", "openai:m", "--base-url", url)
    assert exit_code == 2
    assert f"m at {url} can't be reached" in messages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reader", "openai:gpt-4o"), "there is no API key for openai"),
        (("--reader", "nobody:m"), "nobody:m can't be opened"),
        (("--reader", "hf:/nowhere"), "the model /nowhere is no folder"),
        (("--budget", "much"), "a budget is a number of tokens such as 32768, or 32k, got 'much'"),
        (("--samples", "0"), "samples must be positive, got 0"),
        (("--samples", "2"), "quote reads the same each time"),
        (("--navigate",), "quote can't pick pages from a list"),
    ],
)
def test_what_can_not_be_asked(run: Any, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str) -> None:
    for name in ("OPENAI_API_KEY", "DOCRAG_READER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    exit_code, output, messages = run("ask", QUESTION, *options)
    assert (exit_code, output) == (2, "")
    assert messages.startswith(f"docrag: {message}")
    assert "\n  " in messages or "samples must" in messages or "a budget" in messages


# --- the Python door ---


def test_a_reader_of_ones_own(index: Path) -> None:
    reader = ScriptedReader([Reading("answered", "470", 0.9)], rule=TokenRule(QWEN2_VL, len))
    heard: list[str] = []
    with hashed(index) as library:
        answer = library.ask(QUESTION, ["boats.pdf"], reader=reader, on_text=heard.append)
    assert (answer.text, answer.reader, heard) == ("470", "ScriptedReader", ["470"])
    [images] = reader.images
    assert [part.kind == "image" for part in answer.context.parts] == [image is not None for image in images]
    assert len(answer.context.evidence) == 3


def test_quote_reads_the_best_pages_and_nothing_they_lead_to(index: Path) -> None:
    with hashed(index, k=2) as library:
        answer = library.ask(QUESTION)
        assert len(answer.context.evidence) == len(answer.hits) == 2
        assert {part.kind for part in answer.context.parts} == {"marker", "text"}


def test_a_model_is_opened_once(index: Path, tiny_vlm: Path) -> None:
    with hashed(index, reader=f"hf:{tiny_vlm}", device="cpu") as library:
        with library.answering() as first, library.answering(budget_tokens=9_000) as second:
            assert first.reader is second.reader
        with library.answering("quote") as third:
            assert third.reader.rule is None


def test_answers_for_callers_with_an_event_loop(index: Path) -> None:
    readers = [ScriptedReader([Reading("answered", str(number), 0.9)]) for number in range(3)]

    async def ask_all(library: Library) -> list[Answer]:
        return await asyncio.gather(*(library.aask(QUESTION, reader=reader) for reader in readers))

    with hashed(index) as library:
        assert [answer.text for answer in asyncio.run(ask_all(library))] == ["0", "1", "2"]
        with pytest.raises(UsageError, match="the question is empty"):
            asyncio.run(library.aask(" "))


def test_an_index_that_is_not_there_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    with hashed(tmp_path / "none", reader="hf:/nowhere") as library, pytest.raises(IndexMissing):
        library.ask(QUESTION)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Library]:
    (tmp_path / "nothing").mkdir()
    with hashed(tmp_path / "library") as library:
        library.ingest([tmp_path / "nothing"])
        yield library


def test_an_empty_library_asks_nobody(empty: Library) -> None:
    reader = ScriptedReader([Reading("answered", "470", 0.9, (Citation("x", 1, None, "", None, False),))])
    answer = empty.ask(QUESTION, reader=reader)
    assert (answer.outcome, answer.trace["abstained"]) == ("not_answerable", "there is no page to read")
    assert reader.contexts == []


# --- the real server, and the same model in this process: last, for it takes a while to start ---


@pytest.fixture
def evaluated(
    run: Any, served: str, tiny_vlm: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """`docrag eval` into `tmp_path / "run"`, the real server's model reading: exit code and summary."""
    monkeypatch.setenv("DOCRAG_MAX_ANSWER_TOKENS", "8")

    def evaluate_with(*more: object) -> tuple[int, dict[str, Any]]:
        reader = ("--reader", f"openai:{tiny_vlm}", "--base-url", served, "--budget", "2k")
        asked = ("eval", "mmlongbench-doc", "--data", data, "--out", tmp_path / "run", *reader, *more, "--json")
        exit_code, output, _ = run(*asked)
        return exit_code, json.loads(output)

    return evaluate_with


def test_forty_questions_through_a_real_server(evaluated: Any, tmp_path: Path) -> None:
    exit_code, summary = evaluated()
    assert (exit_code, summary["questions"], summary["scored"], summary["accuracy"]) == (1, 40, 40, 0.0)
    assert summary["config"]["settings"]["budget_tokens"] == 2048
    predictions = read_predictions(tmp_path / "run" / "predictions.jsonl")
    assert {(one.answer, one.outcome, one.why) for one in predictions} == {
        ("Fail to answer", "failed", "it was cut off at 8 tokens")
    }
    assert all(one.usage["images"] >= 1 and one.usage["output_tokens"] == 8 for one in predictions)
    assert summary["usage"]["calls"] == 40
    assert summary["usage"]["input_tokens"] == sum(one.usage["input_tokens"] for one in predictions)
    assert summary["cost"] is None


def test_failed_readings_are_asked_again_and_fail_again(evaluated: Any, tmp_path: Path) -> None:
    exit_code, summary = evaluated("--limit", 4)
    assert (exit_code, summary["scored"], summary["usage"]["calls"]) == (1, 4, 4)
    before = (tmp_path / "run" / "scores.json").read_bytes()
    assert evaluated("--limit", 4, "--resume")[0] == exit_code
    assert (tmp_path / "run" / "scores.json").read_bytes() == before


@pytest.mark.parametrize("where", ["server", "here"])
def test_a_full_ask(run: Any, served: str, tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("DOCRAG_MAX_ANSWER_TOKENS", "8")
    monkeypatch.setenv("DOCRAG_DEVICE", "cpu")
    reader = ("--reader", f"openai:{tiny_vlm}", "--base-url", served) if where == "server" else ("--reader", f"hf:{tiny_vlm}")
    exit_code, output, _ = run("ask", QUESTION, *reader, "--budget", "8k", "--json")
    told = json.loads(output)
    assert (exit_code, told["outcome"], told["answer"], told["citations"]) == (1, "failed", "Fail to answer", [])
    assert told["trace"]["failed"] == "it was cut off at 8 tokens"
    assert told["context"]["tokens"] < told["context"]["budget"] == 8192
    images = [part for part in told["context"]["parts"] if part["kind"] == "image"]
    assert told["usage"]["images"] == len(images) >= 3
    assert told["usage"]["output_tokens"] == 8
    assert all(part["image_size_px"] and part["why"] for part in images)
    if where == "here":  # its tokenizer is at hand, so that all is counted as the model does
        assert told["trace"]["prompt_tokens"] == pytest.approx(told["usage"]["input_tokens"], rel=0.02)


def test_forty_questions_through_a_local_model(data: Path, index: Path, tiny_vlm: Path, tmp_path: Path) -> None:
    reader = {"reader": f"hf:{tiny_vlm}", "device": "cpu", "budget_tokens": 3_600, "max_answer_tokens": 8}
    with hashed(index, **reader) as library:
        summary = evaluate(library, data, tmp_path / "run", BenchmarkOptions())
    assert (summary.scores.questions, summary.scores.accuracy, summary.usage["calls"]) == (40, 0.0, 40)
    assert summary.usage["images"] >= 40
    predictions = read_predictions(tmp_path / "run" / "predictions.jsonl")
    assert {one.outcome for one in predictions} == {"failed"}
    assert all(one.usage["input_tokens"] <= 3_600 for one in predictions)
