"""Chat models through LangChain: a real OpenAI-compatible server with a tiny Qwen2.5-VL, and one that fails as told."""

import io
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pymupdf
import pytest
from PIL import Image

from docrag.errors import ContextTooLarge, EnvironmentFault, ReaderBlind, ReaderError, ReaderFault, UsageError
from docrag.ingest.guard import GuardedPool
from docrag.pipelines.assemble import assemble
from docrag.pipelines.chat_reader import open_chat
from docrag.pipelines.loop import LoopSettings, ask
from docrag.pipelines.prompts import Prompt, reading_prompt
from docrag.pipelines.protocols import ReaderSettings, Sampling
from docrag.pipelines.reader import open_reader
from docrag.pipelines.stages import Shelf, library_stages
from docrag.pipelines.tokens import QWEN2_VL, token_rule
from docrag.testing import HashEncoder
from docrag.types import Context
from tests.libraries import bring, open_index
from tests.serving import Reply, break_off, chat_reply, error_reply, free_port, stream_reply, told_server

PROMPT = Prompt("be brief", ("first", b"\x89PNG 1", "then", b"\xff\xd8 2"), "abc")
SAID = json.dumps({"outcome": "answered", "answer": "Oslo", "citations": [{"page": 1, "quote": "met in Oslo"}]})


@pytest.fixture
def pages(draw_page):
    words = "The board met in Oslo and spoke of many things. "
    lines = [(40, 60 + 12 * row, words * 2) for row in range(60)]
    return [draw_page(*lines, index=number) for number in range(3)]


def draw(context):
    images = []
    for part in context.parts:
        data = io.BytesIO()
        if part.kind == "image":
            Image.new("RGB", part.image_size_px, "white").save(data, "PNG")
        images.append(data.getvalue() or None)
    return images


def chat(server, **settings):
    return open_chat("openai", "m", ReaderSettings(base_url=server.url, **{"timeout_s": 5.0, "retries": 1, **settings}))


# --- the real server ---


def test_a_reading_through_the_real_server(served, tiny_vlm, pages, tmp_path):
    settings = ReaderSettings(base_url=served, max_answer_tokens=24, cache=str(tmp_path / "readings.sqlite"))
    reader = open_reader(f"openai:{tiny_vlm}", settings)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_vlm)
    reader.chat.token_rule = token_rule(str(tiny_vlm), lambda text: len(tokenizer.encode(text, add_special_tokens=False)))
    context = assemble(pages, reader.rule, 12_000)
    assert {part.kind for part in context.parts} >= {"marker", "image"}
    heard: list[str] = []
    reading = reader.read("Where did they meet?", context, draw(context), heard.append)
    assert (reading.outcome, reading.answer, heard) == ("failed", "Fail to answer", [])
    assert reading.usage["calls"] == 1
    assert reading.usage["images"] == sum(part.kind == "image" for part in context.parts)
    assert reading.usage["output_tokens"] <= 24
    assert reading.trace["prompt_tokens"] == pytest.approx(reading.usage["input_tokens"], rel=0.02)
    again = reader.read("Where did they meet?", context, draw(context))
    assert again.usage["calls"] == 1  # a failed reading is not kept


def test_streaming_from_the_real_server(served, tiny_vlm):
    opened = open_chat("openai", str(tiny_vlm), ReaderSettings(base_url=served))
    prompt = Prompt("be brief", ("say something",), "abc")
    pieces: list[str] = []
    streamed = opened.complete(prompt, Sampling(max_tokens=16), pieces.append)
    whole = opened.complete(prompt, Sampling(max_tokens=16))
    assert len(pieces) > 1
    assert "".join(pieces) == streamed.text
    assert streamed.usage == whole.usage
    assert streamed.cut_off
    assert whole.cut_off


def test_a_full_ask_over_a_library_through_the_real_server(served, tiny_vlm, tmp_path):
    with pymupdf.open() as document:
        for number in range(4):
            document.new_page(width=300, height=400).insert_text((40, 60), f"The board met in Oslo, for the {number}th time.")
        document.save(tmp_path / "minutes.pdf")
    bring(tmp_path / "library", tmp_path / "minutes.pdf")
    reader = open_reader(f"openai:{tiny_vlm}", ReaderSettings(base_url=served, max_answer_tokens=8))
    with open_index(tmp_path / "library") as index, GuardedPool(1, 60.0, 2048) as pool:
        stages = library_stages(Shelf(index, HashEncoder(), pool))
        answer = ask(stages, reader, "Where did the board meet?", LoopSettings("tiny", 8_000))
    assert (answer.outcome, answer.text) == ("failed", "Fail to answer")
    assert answer.trace["failed"] == "it was cut off at 8 tokens"
    images = [part for part in answer.context.parts if part.kind == "image"]
    assert len({part.page_number for part in images}) == 4
    assert answer.usage["images"] == len(images)
    image_tokens = sum(part.tokens for part in images)
    texts = answer.usage["input_tokens"] - image_tokens  # the drawings cost what was counted: what is left is text
    assert 0 < texts < len(reading_prompt("Where did the board meet?", answer.context).system) * 1.5


def test_an_unknown_model_at_the_real_server(served):
    opened = open_chat("openai", "gpt-none", ReaderSettings(base_url=served))
    with pytest.raises(ReaderError, match="Server is pinned to"):
        opened.complete(PROMPT, Sampling())


# --- what is sent ---


def test_blocks_keep_their_order(draw_page):
    with told_server(chat_reply(SAID)) as server:
        completion = chat(server).complete(PROMPT, Sampling(max_tokens=77))
    [sent] = server.requests
    assert sent["messages"][0] == {"role": "system", "content": "be brief"}
    assert sent["messages"][1]["content"] == [
        {"type": "text", "text": "first"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORyAx"}},
        {"type": "text", "text": "then"},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9ggMg=="}},
    ]
    assert (sent["model"], sent["temperature"], sent["max_completion_tokens"]) == ("m", 0.0, 77)
    assert completion.text == SAID
    assert completion.usage == {"input_tokens": 7, "output_tokens": 3}
    assert not completion.cut_off


def test_a_reader_answers_from_what_the_server_says(draw_page):
    page = draw_page((50, 80, "The board met in Oslo."))
    with told_server(chat_reply(SAID)) as server:
        reader = open_reader("openai:m", ReaderSettings(base_url=server.url))
        reading = reader.read("Where?", Context((), (page,), 10))
    assert (reading.outcome, reading.answer) == ("answered", "Oslo")
    assert [citation.verified for citation in reading.citations] == [True]


def test_the_key_is_ones_own_or_none(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with told_server(chat_reply("x")) as server:
        chat(server).complete(PROMPT, Sampling())
        monkeypatch.setenv("DOCRAG_READER_API_KEY", "my-key")
        chat(server).complete(PROMPT, Sampling())
    assert server.keys == ["Bearer none", "Bearer my-key"]


def test_a_setting_that_the_model_does_not_take_is_left_out():
    refuses = error_reply(400, "Unsupported value: 'temperature' does not support 0 with this model.")
    with told_server(refuses, chat_reply("x")) as server:
        opened = chat(server)
        assert opened.complete(PROMPT, Sampling()).notes == ("openai:m takes no temperature: its own is used",)
        opened.complete(PROMPT, Sampling())
    assert ["temperature" in sent for sent in server.requests] == [True, False, False]


def test_a_setting_that_is_refused_to_several_threads_at_once_costs_none_its_answer():
    refuses = error_reply(400, "Unsupported value: 'temperature' does not support 0")
    together = threading.Barrier(4, timeout=10)

    def refuse(handler):
        together.wait()  # all four have sent it before the first is told
        handler.send_response(refuses.status)
        handler.send_header("Content-Length", str(len(refuses.body)))
        handler.end_headers()
        handler.wfile.write(refuses.body)

    with told_server(*[Reply(act=refuse)] * 4, chat_reply("x")) as server, ThreadPoolExecutor(4) as threads:
        opened = chat(server)
        done = list(threads.map(lambda _: opened.complete(PROMPT, Sampling()), range(8)))
    assert [completion.text for completion in done] == ["x"] * 8
    assert opened.notes == ["openai:m takes no temperature: its own is used"]
    assert sum("temperature" in sent for sent in server.requests) == 4


def test_an_answer_cut_off_at_its_limit_is_known():
    with told_server(chat_reply('{"outcome', finish="length")) as server:
        assert chat(server).complete(PROMPT, Sampling()).cut_off


# --- what passes ---


def test_a_rate_limit_is_waited_for_as_long_as_it_says():
    with told_server(error_reply(429, "slow down", Retry_After="1"), chat_reply("x")) as server:
        assert chat(server).complete(PROMPT, Sampling()).text == "x"
    assert 0.9 < server.times[1] - server.times[0] < 4


@pytest.mark.parametrize(
    "first", [error_reply(500, "boom"), Reply(act=break_off), Reply(body=b'{"id": '), error_reply(503, "busy")]
)
def test_what_may_pass_is_asked_again(first):
    with told_server(first, chat_reply("x")) as server:
        assert chat(server).complete(PROMPT, Sampling()).text == "x"
    assert len(server.requests) == 2


def test_a_stream_that_breaks_off_is_asked_again_and_heard_once():
    heard: list[str] = []
    with told_server(
        stream_reply("a", "b", cut=True), stream_reply("a", "b", done=False), stream_reply("a", "b", "c")
    ) as server:
        completion = chat(server, retries=2).complete(PROMPT, Sampling(), heard.append)
    assert (completion.text, heard) == ("abc", ["a", "b"])
    assert completion.usage == {"input_tokens": 7, "output_tokens": 3}
    assert len(server.requests) == 3


# --- what does not ---


@pytest.mark.parametrize(
    ("reply", "error", "told"),
    [
        (error_reply(401, "Incorrect API key", "invalid_api_key"), ReaderFault, "refuses the API key: Incorrect API key"),
        (error_reply(404, "The model `m` does not exist", "model_not_found"), ReaderFault, "is not there: The model `m`"),
        (error_reply(429, "no money", "insufficient_quota", Retry_After="0.01"), ReaderFault, "has no quota left"),
        (error_reply(429, "slow down", Retry_After="0.01"), ReaderError, "limits the rate of requests: slow down"),
        (error_reply(500, "boom\x1b[31m"), ReaderError, r"has a fault of its own \(500\): boom\[31m"),
        (error_reply(400, "maximum context length is 10 tokens"), ContextTooLarge, "larger than openai:m takes"),
        (error_reply(400, "too long", "context_length_exceeded"), ContextTooLarge, "larger than openai:m takes"),
        (error_reply(413, "too big"), ContextTooLarge, "larger than openai:m takes"),
        (error_reply(400, "no such thing"), ReaderError, r"refuses the request \(400\): no such thing"),
        (error_reply(400, "image dimensions are not supported"), ReaderError, "refuses the request"),
        (Reply(act=break_off), ReaderError, "broke off"),
        (Reply(body=b"<html>hello</html>", headers={"Content-Type": "text/html"}), ReaderError, "an answer that is none"),
        (Reply(body=b'{"a": 1}'), ReaderError, "an answer that is none"),
        (Reply(act=lambda handler: time.sleep(0.5)), ReaderError, "was silent for too long"),
    ],
)
def test_errors_say_what_it_was(reply, error, told):
    with told_server(reply) as server, pytest.raises(error, match=told) as raised:
        chat(server, timeout_s=0.25, retries=0).complete(PROMPT, Sampling())
    assert type(raised.value) is error
    assert raised.value.hint


@pytest.mark.parametrize(
    "said",
    [
        "Invalid content type. image_url is only supported by certain models.",
        "m is not a multimodal model",
        "At most 0 image(s) may be provided in one prompt.",
        "messages[1]: unknown variant `image_url`, expected `text`",
        "No endpoints found that support image input",
        "image input is not supported - hint: you may need to provide the mmproj",
    ],
)
def test_a_model_without_vision_is_known_from_then_on(said):
    with told_server(error_reply(400, said)) as server:
        opened = chat(server)
        assert opened.rule.image is not None
        with pytest.warns(UserWarning, match="takes no images: it is shown the text"), pytest.raises(ReaderBlind):
            opened.complete(PROMPT, Sampling())
    assert opened.rule.image is None


def test_a_server_that_is_down():
    opened = open_chat("openai", "m", ReaderSettings(base_url=f"http://127.0.0.1:{free_port()}/v1", retries=0))
    with pytest.raises(ReaderFault, match="can't be reached"):
        opened.complete(PROMPT, Sampling())


# --- what can't be opened ---


def test_no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "DOCRAG_READER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="there is no API key for openai") as raised:
        open_reader("openai:gpt-4o")
    assert raised.value.hint == "set OPENAI_API_KEY or DOCRAG_READER_API_KEY, or name a server with --base-url"


@pytest.mark.parametrize("spec", ["", "gpt-4o", "openai:", ":m", "quotes"])
def test_specs_that_name_no_reader(spec):
    with pytest.raises(UsageError, match="no reader is called"):
        open_reader(spec)


def test_a_provider_that_nobody_knows():
    with pytest.raises(UsageError, match="nobody:m can't be opened"):
        open_reader("nobody:m")


@pytest.mark.parametrize(
    ("spec", "module"), [(f"{name}:m", f"langchain_{name}") for name in ("anthropic", "google_genai", "ollama")]
)
def test_a_provider_whose_package_is_missing(monkeypatch, spec, module):
    from langchain.chat_models import base

    base._get_chat_model_creator.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("DOCRAG_READER_API_KEY", "x")
    with pytest.raises(EnvironmentFault, match="not installed") as raised:
        open_reader(spec)
    assert raised.value.hint == f"pip install 'docrag[{spec.partition(':')[0]}]', or {module.replace('_', '-')}"


def test_a_text_model_is_known_beforehand(monkeypatch):
    with pytest.warns(UserWarning, match="takes no images"):
        opened = open_chat("openai", "gpt-3.5-turbo", ReaderSettings(base_url="http://127.0.0.1:1/v1"))
    assert opened.rule.image is None
    assert open_chat("openai", "Qwen2.5-VL-7B", ReaderSettings(base_url="http://127.0.0.1:1/v1")).rule.image is QWEN2_VL
