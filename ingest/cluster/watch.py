# pyright: basic
# Ray's decorators hide the types of what they wrap
"""A thread in the driver that asks the desk how far the run is, and tells who wants to know."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

import ray  # noqa: TID253 -- this module is loaded for a run on Ray only
from ray._private.internal_api import get_memory_info_reply, get_state_from_address  # noqa: TID253 -- as above
from ray.exceptions import RayError  # noqa: TID253 -- as above

from docrag.ingest.cluster.progress import Pace
from docrag.ingest.totals import Progress

EVERY_S = 1.0
ANSWER_S = 5.0


@contextlib.contextmanager
def watching(desk: Any, report: Callable[[Progress], None] | None) -> Generator[None]:
    """Call `report` about once a second from a thread of its own while the body runs, and once at its end.

    What `report` raises ends the run: the desk goes, so that nothing more is written, and this raises it.
    """
    if report is None:
        yield
        return
    over, raised, pace = threading.Event(), list[BaseException](), Pace()

    def tell() -> None:
        report(pace.note(ray.get(desk.counts.remote()), store_bytes=store_bytes()))

    def watch() -> None:
        while not over.wait(EVERY_S):
            try:
                tell()
            except RayError:  # the run fails, and says why
                return
            except BaseException as error:  # noqa: BLE001 -- it is raised again, in the thread that runs
                raised.append(error)
                ray.kill(desk)
                return

    thread = threading.Thread(target=watch, name="docrag-progress", daemon=True)
    thread.start()
    try:
        yield
        tell()
    except BaseException:
        if raised:
            raise raised[0] from None
        raise
    finally:
        over.set()
        thread.join(timeout=10)


def store_bytes() -> int:
    """What lies in the object stores of all machines together; 0 where Ray does not say in time. There is no public way."""
    try:
        state = get_state_from_address(ray.get_runtime_context().gcs_address)
        return get_memory_info_reply(state, timeout_seconds=ANSWER_S).store_stats.object_store_bytes_used
    except Exception:  # noqa: BLE001 -- Ray raises what it likes, as where no machine is left, and no figure ends a run
        return 0
