# pyright: basic
"""Calls of a Qdrant server that may be away for a moment: what is worth a second try, how long it is tried, what is said then.

All that docrag asks of a server may be asked twice: a point is written under its own id, a lane is looked for before it is
made. So a call whose answer was lost is simply made again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TypeVar

from httpx import TransportError
from qdrant_client.common.client_exceptions import (  # noqa: TID253 -- this module is only imported to open such an index
    QdrantException,
    ResourceExhaustedResponse,
)
from qdrant_client.http.exceptions import (  # noqa: TID253 -- as above
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random_exponential

from docrag.errors import DocragError, EnvironmentFault, IndexFault, IndexMissing
from docrag.index import store

API_KEY_VARIABLE = "DOCRAG_QDRANT_API_KEY"
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_NO_POINT = b"No point with id"
_NO_COLLECTION = b"doesn't exist"
_NO_LANE = b"Not existing vector name"
_LANE_HINT = "another process may have added or removed a lane: run the same command again"
_T = TypeVar("_T")


def patiently(call: Callable[[], _T]) -> _T:
    """What `call` returns; made again, with growing pauses, while it fails in a way that may pass, for `store.RETRY_FOR_S`."""
    retrying = Retrying(
        retry=retry_if_exception(passes), stop=stop_before_delay(store.RETRY_FOR_S), wait=_pause_s, reraise=True
    )
    return retrying(call)


def passes(error: BaseException) -> bool:
    """Whether the same call may succeed a little later: the server restarts, is overloaded, or the connection was lost."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _PASSING and not _is_full(error)
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, TransportError)
    return isinstance(error, ResourceExhaustedResponse)


def _pause_s(state: RetryCallState) -> float:
    """Random up to a bound that doubles, so that workers don't come back all at once; longer where the server says so."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else 0
    return max(asked_s, wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S)(state))


@contextlib.contextmanager
def translated(where: str) -> Generator[None]:
    """Turn what the client raises for the server at `where` into docrag's errors."""
    try:
        yield
    except UnexpectedResponse as error:
        raise _refusal(where, error) from error
    except KeyError as error:  # what the in-memory mode says for a point that is not there
        raise _gone(where, error) from error
    except (ApiException, QdrantException) as error:
        raise _no_answer(where, error) from error


def _refusal(where: str, error: UnexpectedResponse) -> DocragError:
    message = f"the Qdrant server at {where} answered {error.status_code}: {error.content.decode(errors='replace')[:500]}"
    if _NO_POINT in error.content:
        return _gone(where, error)
    if error.status_code == 404 and _NO_COLLECTION in error.content:
        return IndexMissing(message, "the index was deleted, or never made: check its name")
    if _NO_LANE in error.content:
        return IndexFault(message, _LANE_HINT)
    if error.status_code in (401, 403):
        return EnvironmentFault(message, f"set {API_KEY_VARIABLE} to a key that may read and write")
    if _is_full(error):
        return EnvironmentFault(message, "the server's disk seems to be full")
    if passes(error):
        return EnvironmentFault(message, "see the server's own log, then run the same command again: what was written is kept")
    return EnvironmentFault(message, "see the server's own log; docrag needs Qdrant 1.10 or later")


def _is_full(error: UnexpectedResponse) -> bool:
    return error.status_code == 507 or (error.status_code == 500 and b"space" in error.content.lower())


def _no_answer(where: str, error: Exception) -> EnvironmentFault:
    if isinstance(error, ResourceExhaustedResponse):
        return EnvironmentFault(f"the Qdrant server at {where} takes no more requests for now: {error}", "try again later")
    if passes(error):
        hint = "check the address and that the server is running; what was written before is kept"
        return EnvironmentFault(f"no answer from the Qdrant server at {where}: {error}", hint)
    hint = "check the address and the server's version"
    return EnvironmentFault(f"no answer that docrag can read from the Qdrant server at {where}: {error}", hint)


def _gone(where: str, error: Exception) -> IndexFault:
    return IndexFault(f"the index at {where} lacks a point that was to be updated: {error}", store.GONE_HINT)
