"""What the errors of chat models' clients mean: which may pass, and what a user is told of the others.

Newer integrations raise LangChain's own `ModelError`s; the rest is known by HTTP status, and by what the server says.
"""
# pyright: basic
# Errors of clients that may not be installed

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from docrag.errors import ContextTooLarge, DocragError, ReaderBlind, ReaderError, ReaderFault

_SAID_CHARACTERS = 300
_LATER = "ask again later; what was answered before is not asked anew where a cache is kept"
_TOO_LARGE = re.compile(
    r"context.?(length|window|size)|maximum context|max_model_len|too many (input )?tokens|prompt is too long|input is too long"
    r"|maximum model length|request (entity )?too large|payload too large|exceeds? .{0,60}tokens",
    re.IGNORECASE,
)
_NO_VISION = re.compile(
    r"(image|vision|multi-?modal).{0,60}\b(not|un-?)\s?(supported|allowed|available|enabled)"
    r"|(not|n't|no|cannot)\b.{0,40}\b(support|accept|take|process|handle|multi-?modal).{0,40}(image|vision|multi-?modal|model)"
    r"|not a multi-?modal model|image_url.{0,20}is only supported|unknown variant .?image|at most 0 image|support image input"
    r"|missing data required for image|content.{0,20}must be a string",
    re.IGNORECASE,
)
_BAD_IMAGE = re.compile(
    r"too many images|image.{0,30}(too large|size|dimension|format|media.?type|corrupt|decode)", re.IGNORECASE
)
_BAD_KEY = re.compile(r"api.?key (is )?(not valid|invalid|expired)|invalid api.?key", re.IGNORECASE)
_CONNECTING = frozenset({"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "gaierror"})
_BROKEN = frozenset({"RemoteProtocolError", "ReadError", "ConnectionResetError", "IncompleteRead", "ProtocolError"})
_SETTING = re.compile(r"unsupported|not support|unknown|not allowed|deprecated|only the default|not permitted", re.IGNORECASE)


class BrokenReply(Exception):
    """The server's answer broke off, or is none."""


def passing(error: BaseException, *, retries_itself: bool) -> bool:
    """Whether asking once more at once may help. What the client has asked for again itself has had its chances."""
    if _is_broken(error):
        return True
    if retries_itself:
        return False
    return _is_timeout(error) or _is_connection(error) or _status(error) in (408, 409, 429) or _status(error) >= 500


def refuses_setting(error: BaseException, names: Collection[str]) -> str | None:
    """Which of `names` the server says that it does not take, if any."""
    if _status(error) not in (400, 422):
        return None
    said = _said(error)
    return next((name for name in names if name in said and _SETTING.search(said)), None)


def translate(error: BaseException, name: str, base_url: str, images: int) -> DocragError:
    """What `error` means to a user: ReaderFault where `name` can't be used at all, ReaderError where this reading failed."""
    if isinstance(error, DocragError):
        return error
    said, status = _said(error), _status(error)
    where = f"{name} at {base_url}" if base_url else name
    if _is_context(error) or status == 413 or (400 <= status < 500 and _TOO_LARGE.search(said)):
        return ContextTooLarge(f"the context is larger than {name} takes: {said}", "give it less to read with --budget")
    if images and status >= 400 and _NO_VISION.search(said) and not _BAD_IMAGE.search(said):
        return ReaderBlind(f"{name} takes no images: {said}", "give it text, or take a vision-language model")
    if status in (401, 403) or (status == 400 and _BAD_KEY.search(said)) or _no_key(error):
        return ReaderFault(f"{where} refuses the API key: {said}", "check the key, and that it may use this model")
    if status == 404:
        return ReaderFault(f"{where} is not there: {said}", "check the model's name, and the server's address with --base-url")
    if status == 429 and "insufficient_quota" in said:
        return ReaderFault(f"{where} has no quota left: {said}", "add credit, or take another key")
    return _passing_error(error, where, said, status)


def _passing_error(error: BaseException, where: str, said: str, status: int) -> DocragError:
    if status == 429:
        return ReaderError(f"{where} limits the rate of requests: {said}", _LATER)
    if status >= 500:
        return ReaderError(f"{where} has a fault of its own ({status}): {said}", _LATER)
    if status >= 400:
        return ReaderError(f"{where} refuses the request ({status}): {said}", "the message is the server's own")
    if _is_timeout(error) and not _never_connected(error):
        return ReaderError(f"{where} was silent for too long", "wait longer with DOCRAG_READER_TIMEOUT_S")
    if _never_connected(error):
        return ReaderFault(f"{where} can't be reached: {said}", "check that the server runs, and its address with --base-url")
    if _is_broken(error) or _is_connection(error):
        return ReaderError(f"{where} broke off: {said}", _LATER)
    if "APIError" in _kinds(error):
        return ReaderError(f"{where} reports an error: {said}", "the message is the server's own")
    return ReaderError(
        f"{where} gave an answer that is none ({type(error).__name__}): {said}", "check that it serves a chat model"
    )


def _kinds(error: BaseException) -> set[str]:
    return {cls.__name__ for one in _chain(error) for cls in type(one).__mro__}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that led to it."""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _is_context(error: BaseException) -> bool:
    return "ContextOverflowError" in _kinds(error)


def _is_timeout(error: BaseException) -> bool:
    kinds = _kinds(error)
    return "ModelTimeoutError" in kinds or any(kind.endswith(("Timeout", "TimeoutError", "TimeoutException")) for kind in kinds)


def _is_connection(error: BaseException) -> bool:
    return bool(_kinds(error) & {"ModelConnectionError", "ConnectionError"})


def _never_connected(error: BaseException) -> bool:
    # Ollama's client raises a plain ConnectionError, with nothing behind it.
    return bool(_kinds(error) & _CONNECTING) or type(error) is ConnectionError


def _is_broken(error: BaseException) -> bool:
    """A reply that broke off or is no JSON. Where the request itself met that, the client has asked again already."""
    if isinstance(error, BrokenReply):
        return True
    if "ModelError" in _kinds(error) or _status(error):
        return False
    return any(isinstance(one, json.JSONDecodeError) or type(one).__name__ in _BROKEN for one in _chain(error))


def _no_key(error: BaseException) -> bool:
    """Clients that look for a key only when they send."""
    return not _status(error) and ("authentication method" in str(error) or "api_key" in str(error))


def _status(error: BaseException) -> int:
    """The HTTP status, its own or that of what led to it; 0 where there was none."""
    for one in _chain(error):
        response = getattr(one, "response", None)
        for found in (getattr(one, "status_code", None), getattr(response, "status_code", None), getattr(one, "code", None)):
            if isinstance(found, int) and found >= 400:  # a reply with status 200 may be garbage nevertheless
                return found
    return 0


def _said(error: BaseException) -> str:
    """The server's own words where it has some, on one line, without control characters."""
    words = _body_text(getattr(error, "body", None)) or _response_text(error) or str(error) or type(error).__name__
    line = " ".join(words.split())
    return "".join(c for c in line if c.isprintable())[:_SAID_CHARACTERS]


def _body_text(body: Any) -> str:
    if isinstance(body, dict):
        inner = _body_text(body.get("error"))
        told = [str(body[key]) for key in ("message", "detail") if body.get(key)]
        code = [f"({body['code']})"] if isinstance(body.get("code"), str) else []
        return " ".join(part for part in (inner, *told, *code) if part)
    return body if isinstance(body, str) else ""


def _response_text(error: BaseException) -> str:
    try:
        return str(getattr(error, "response", None).text)[:2_000]  # pyright: ignore[reportOptionalMemberAccess]
    except Exception:  # noqa: BLE001 -- there may be no response, or its body was never read
        return ""
