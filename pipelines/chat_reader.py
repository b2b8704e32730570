"""Any LangChain chat model as a `Chat`: hosted ones, and any OpenAI-compatible server by its base URL.

Whatever retries by itself (the clients of OpenAI and Anthropic honour Retry-After) is left to it. Begun again here are requests
that those don't: a stream that breaks off, an answer that is none, and all of a provider whose client never retries.
"""
# pyright: basic
# LangChain's models are made by name

from __future__ import annotations

import base64
import os
import threading
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from docrag.errors import EnvironmentFault, ReaderBlind, UsageError
from docrag.pipelines.chat_errors import BrokenReply, passing, refuses_setting, translate
from docrag.pipelines.prompts import Prompt
from docrag.pipelines.protocols import Completion, OnText, ReaderSettings, Sampling
from docrag.pipelines.tokens import TokenRule, token_rule

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage

API_KEY = "DOCRAG_READER_API_KEY"
_PACKAGES = {"anthropic": "langchain-anthropic", "google_genai": "langchain-google-genai", "ollama": "langchain-ollama"}
_KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "google_genai": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
_CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens"})
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0


@dataclass(slots=True)
class LangChainChat:
    """`model`, made for `provider`. `token_rule` says what it is sent costs; once it refused an image it is shown text only.

    Several threads may ask it at once.
    """

    model: BaseChatModel
    provider: str
    name: str
    settings: ReaderSettings
    token_rule: TokenRule
    notes: list[str] = field(default_factory=list)
    refused_settings: set[str] = field(default_factory=set)
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False)  # held to learn what the model refuses

    @property
    def rule(self) -> TokenRule:
        return self.token_rule

    @property
    def identity(self) -> Mapping[str, str]:
        addresses = (getattr(self.model, name, None) for name in ("openai_api_base", "anthropic_api_url", "base_url"))
        address = self.settings.base_url or next((str(found) for found in addresses if found), "")
        return {"provider": self.provider, "model": self.name, "base_url": address}

    def complete(self, prompt: Prompt, sampling: Sampling, on_text: OnText | None = None) -> Completion:
        """What the model makes of `prompt`. After a broken stream it is asked again, and `on_text` hears no more of it."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

        attempts = Retrying(
            retry=retry_if_exception(lambda error: passing(error, retries_itself=hasattr(self.model, "max_retries"))),
            stop=stop_after_attempt(self.settings.retries + 1),
            wait=wait_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S) + wait_random(0, _FIRST_WAIT_S),
            reraise=True,
        )
        messages, heard = _messages(prompt, self.provider), _Once(on_text)
        try:
            message = attempts(lambda: self._settled(messages, prompt, sampling, heard))
        except Exception as error:  # noqa: BLE001 -- each provider has its own errors, most of which can't be imported here
            raise self._told(translate(error, self.name, self.identity["base_url"], prompt.images)) from None
        return self._completion(message)

    def _settled(self, messages: list[BaseMessage], prompt: Prompt, sampling: Sampling, heard: _Once) -> AIMessage:
        """One answer; a setting that this model does not know is left out from now on."""
        bound = self._bound(prompt, sampling)
        try:
            return self._once(messages, bound, heard)
        except Exception as error:
            # What this request said, and not what is known by now: another thread may have been refused in the meantime.
            name = refuses_setting(error, {"temperature"} & bound.keys())
            if name is None:
                raise
        with self.turn:
            if name not in self.refused_settings:
                self.refused_settings.add(name)
                self.notes.append(f"{self.name} takes no {name}: its own is used")
        return self._once(messages, self._bound(prompt, sampling), heard)

    def _once(self, messages: list[BaseMessage], arguments: Mapping[str, Any], heard: _Once) -> AIMessage:
        if heard.on_text is None:
            message = self.model.invoke(messages, **arguments)
        else:
            message = self._streamed(messages, arguments, heard)
        if message is None or (self.provider == "openai" and not message.response_metadata.get("finish_reason")):
            raise BrokenReply("it stopped before its answer was done")
        return message  # pyright: ignore[reportReturnType] -- chunks add up to a chunk, which is a message

    def _streamed(self, messages: list[BaseMessage], arguments: Mapping[str, Any], heard: _Once) -> Any:
        """All chunks as one, None where there were none. Raises BrokenReply where it breaks off after the first."""
        message: Any = None
        hear = heard.listener()
        try:
            for chunk in self.model.stream(messages, **arguments):
                message = chunk if message is None else message + chunk
                hear(_text(chunk))
        except Exception as error:
            if message is None:
                raise
            raise BrokenReply(str(error) or type(error).__name__) from error
        return message

    def _bound(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """What is said with each request, and not once when the model is made."""
        if self.provider == "ollama":
            return {"options": _ollama_options(prompt, sampling, self.token_rule)}
        limit = "max_output_tokens" if self.provider == "google_genai" else "max_tokens"
        bound: dict[str, Any] = {limit: sampling.max_tokens}
        return bound if "temperature" in self.refused_settings else {**bound, "temperature": sampling.temperature}

    def _told(self, error: Exception) -> Exception:
        if isinstance(error, ReaderBlind):
            self._blind()
        return error

    def _blind(self) -> None:
        note = f"{self.name} takes no images: it is shown the text of the pages"
        with self.turn:
            if self.token_rule.image is None:
                return
            self.token_rule = replace(self.token_rule, image=None)
            self.notes.append(note)
        warnings.warn(note, stacklevel=2)

    def _completion(self, message: AIMessage) -> Completion:
        told = message.usage_metadata or {}
        usage = {name: int(told[name]) for name in ("input_tokens", "output_tokens") if told.get(name) is not None}
        metadata = message.response_metadata
        reasons = (metadata.get(name) for name in ("finish_reason", "stop_reason", "done_reason"))
        cut_off = any(str(reason).lower() in _CUT_OFF for reason in reasons)
        return Completion(_text(message), usage, cut_off, tuple(self.notes))


def open_chat(provider: str, model: str, settings: ReaderSettings) -> LangChainChat:
    """The model `model` of `provider` (as LangChain names it), or of the server at `settings.base_url`. Nothing is sent yet.

    Raises UsageError on an unknown provider or where there is no key for it, EnvironmentFault where its package is missing.
    """
    from langchain.chat_models import init_chat_model

    key = _api_key(provider, settings)
    arguments: dict[str, Any] = {"timeout": settings.timeout_s, "max_retries": settings.retries}
    if provider == "ollama":
        arguments = {"client_kwargs": {"timeout": settings.timeout_s}}
    if key is not None:
        arguments["api_key"] = key
    if settings.base_url:
        arguments["base_url"] = settings.base_url
    if provider == "openai":
        arguments["stream_usage"] = True
    name = f"{provider}:{model}"
    with _making(provider, name):
        made = init_chat_model(model, model_provider=provider, **arguments)
    chat = LangChainChat(made, provider, name, settings, token_rule(model))
    if (made.profile or {}).get("image_inputs") is False:
        chat._blind()
    return chat


@contextmanager
def _making(provider: str, name: str) -> Generator[None]:
    try:
        yield
    except ImportError as error:
        package = _PACKAGES.get(provider)
        hint = f"pip install 'docrag[{provider}]', or {package}" if package else "install the package that it names"
        raise EnvironmentFault(f"{name} needs a package that is not installed: {error}", hint) from None
    except ValueError as error:  # also pydantic's
        raise UsageError(f"{name} can't be opened: {str(error)[:300]}", "write PROVIDER:MODEL, as in openai:gpt-4o") from None


def _api_key(provider: str, settings: ReaderSettings) -> str | None:
    """The key to send, None to leave it to the provider's own variable. Raises UsageError where there is none."""
    own = os.environ.get(API_KEY)
    names = _KEYS.get(provider, ())
    if own or not names or any(os.environ.get(name) for name in names):
        return own
    if settings.base_url:
        return "none"  # most servers of one's own ask for none; the client insists on some text
    raise UsageError(f"there is no API key for {provider}", f"set {names[0]} or {API_KEY}, or name a server with --base-url")


class _Once:
    """Lets one attempt be heard: a second one would say the same again."""

    def __init__(self, on_text: OnText | None) -> None:
        self.on_text = on_text
        self._spoken = False

    def listener(self) -> OnText:
        on_text = self.on_text
        if on_text is None or self._spoken:
            return lambda piece: None

        def hear(piece: str) -> None:
            if piece:
                self._spoken = True
                on_text(piece)

        return hear


def _messages(prompt: Prompt, provider: str) -> list[BaseMessage]:
    from langchain_core.messages import HumanMessage, SystemMessage

    blocks: list[str | dict[str, Any]] = []
    images = 0
    for block in prompt.blocks:
        if isinstance(block, str):
            blocks.append({"type": "text", "text": block})
            continue
        images += 1
        if provider == "ollama":  # it is sent all texts, then all images
            blocks.append({"type": "text", "text": f"(here belongs image {images})\n"})
        blocks.append(_image_block(block))
    return [SystemMessage(prompt.system), HumanMessage(content=blocks)]


def _image_block(image: bytes) -> dict[str, Any]:
    kind = "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"
    return {"type": "image", "base64": base64.b64encode(image).decode("ascii"), "mime_type": kind}


def _text(message: Any) -> str:
    """What was written, without what was thought; content may be a text or a list of blocks."""
    return str(message.text)


def _ollama_options(prompt: Prompt, sampling: Sampling, rule: TokenRule) -> dict[str, Any]:
    """Ollama cuts what exceeds its window, silently, and loads the model anew for another one: so a power of two."""
    texts = sum(rule.count_text(block) for block in (prompt.system, *prompt.blocks) if isinstance(block, str))
    needed = texts + prompt.images * 2_048 + sampling.max_tokens
    window = max(8_192, 1 << (needed - 1).bit_length())
    return {"num_ctx": window, "num_predict": sampling.max_tokens, "temperature": sampling.temperature}
