from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from docrag.errors import EnvironmentFault, PdfCrash, PdfTooLarge, PdfUnreadable
from docrag.ingest import guard
from docrag.ingest.guard import GuardedPool

# All tasks are functions of the standard library and numpy: children import what they run by name.


@pytest.fixture(scope="module")
def pool() -> Iterator[GuardedPool]:
    with GuardedPool(2, timeout_s=1.0, memory_mib=700) as pool:
        pool.call(os.getpid)
        yield pool


def has_process(argument: str) -> bool:
    return any(argument in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(is_running(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_call_returns_the_value(pool: GuardedPool) -> None:
    assert pool.call(divmod, 17, 5) == (3, 2)


def test_large_arrays_come_back_whole(pool: GuardedPool) -> None:
    array = pool.call(np.arange, 4_000_000)
    assert array.shape == (4_000_000,)
    assert array[-1] == 3_999_999


def test_crash_costs_the_task_and_nothing_else(pool: GuardedPool) -> None:
    with pytest.raises(PdfCrash, match="SIGABRT"):
        pool.call(os.abort)
    assert pool.call(abs, -1) == 1


def test_hang_is_killed_in_time(pool: GuardedPool) -> None:
    start = time.monotonic()
    with pytest.raises(PdfCrash, match="took longer than 1 s") as caught:
        pool.call(time.sleep, 60)
    assert time.monotonic() - start < 3
    assert "DOCRAG_PAGE_TIMEOUT_S" in caught.value.hint


def test_what_a_hung_task_started_is_killed_with_it(pool: GuardedPool) -> None:
    with pytest.raises(PdfCrash):
        pool.call(subprocess.check_call, ["sleep", "61.25"])
    assert not has_process("61.25")


def test_memory_is_limited(pool: GuardedPool) -> None:
    with pytest.raises(PdfTooLarge, match="700 MiB") as caught:
        pool.call(bytearray, 900 << 20)
    assert caught.value.lacked == "memory"
    assert pool.call(len, b"abc") == 3


def test_child_killed_from_outside_counts_as_lack_of_memory(pool: GuardedPool) -> None:
    with pytest.raises(PdfTooLarge, match="killed"):
        pool.call(os.kill, 0, signal.SIGKILL)


def test_other_exceptions_are_raised_with_their_origin(pool: GuardedPool) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        pool.call(divmod, 1, 0)
    assert "guarded child process" in caught.value.__notes__[0]


def test_result_that_does_not_pickle_is_an_error(pool: GuardedPool) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pool.call(threading.Lock)


def test_children_are_nice_and_leave_no_core(pool: GuardedPool) -> None:
    assert pool.call(os.getpriority, os.PRIO_PROCESS, 0) == min(19, 10 + os.getpriority(os.PRIO_PROCESS, 0))
    assert pool.call(resource.getrlimit, resource.RLIMIT_CORE) == (0, 0)
    assert pool.call(signal.getsignal, signal.SIGINT) is signal.SIG_IGN


def test_map_yields_every_task_once(pool: GuardedPool) -> None:
    assert sorted(pool.map(abs, range(-50, 0))) == [(number, -number) for number in range(-50, 0)]


def test_map_turns_a_crash_into_data_and_goes_on(pool: GuardedPool) -> None:
    results = dict(pool.map(time.sleep, [0.0, 60.0, 0.01]))
    assert results[0.0] is None
    assert results[0.01] is None
    assert isinstance(results[60.0], PdfCrash)


def test_map_returns_pdf_errors_that_a_task_raises(pool: GuardedPool, tmp_path: Path) -> None:
    from docrag.ingest.read import open_facts

    path = tmp_path / "empty.pdf"
    path.write_bytes(b"")
    [(_, result)] = pool.map(open_facts, [str(path)])
    assert isinstance(result, PdfUnreadable)


def test_map_raises_what_is_no_pdf_error(pool: GuardedPool) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(pool.map(int, ["1", "x"]))


def test_map_pulls_lazily(pool: GuardedPool) -> None:
    pulled: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            pulled.append(number)
            yield number

    results = pool.map(abs, tasks(), ahead=3)
    for taken in range(1, 20):
        next(results)
        assert len(pulled) <= taken + 3
    results.close()
    assert len(pulled) < 30


def test_threads_share_a_pool(pool: GuardedPool) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(pool.call(abs, -n))) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 9))


def test_closing_ends_children_and_frees_waiters() -> None:
    pool = GuardedPool(1, timeout_s=60, memory_mib=700)
    pid = pool.call(os.getpid)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            pool.call(time.sleep, 50)
        except EnvironmentFault as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.2)
    pool.close()
    waiter.join(5)
    assert not waiter.is_alive()
    assert len(errors) == 1
    assert wait_until_gone([pid])
    pool.close()
    with pytest.raises(EnvironmentFault, match="closed"):
        pool.call(abs, 1)


def test_loss_of_the_process_that_forks_is_no_fault_of_a_pdf() -> None:
    with GuardedPool(1, timeout_s=60, memory_mib=700) as pool:
        os.kill(pool.call(os.getppid), signal.SIGKILL)
        with pytest.raises(EnvironmentFault, match="ended"):
            pool.call(time.sleep, 5)


def nursery_of_a_new_pool(memory_mib: int = 700) -> int:
    with GuardedPool(1, timeout_s=60, memory_mib=memory_mib) as pool:
        return pool.call(os.getppid)


def test_the_next_pool_takes_over_the_nursery_and_has_limits_of_its_own() -> None:
    with GuardedPool(2, timeout_s=60, memory_mib=700) as first, GuardedPool(1, timeout_s=60, memory_mib=700) as beside:
        nursery, child, others = first.call(os.getppid), first.call(os.getpid), beside.call(os.getppid)
        folder = Path(first.call(tempfile.mkdtemp))
    assert others != nursery  # one pool at a time
    assert is_running(nursery) != is_running(others)  # one is kept
    assert not is_running(child)
    assert not folder.parent.exists()
    with GuardedPool(1, timeout_s=60, memory_mib=400) as second:
        assert second.call(os.getppid) == (nursery if is_running(nursery) else others)
        with pytest.raises(PdfTooLarge, match="400 MiB"):
            second.call(bytearray, 500 << 20)


def test_a_nursery_that_was_started_otherwise_is_not_taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = nursery_of_a_new_pool()
    monkeypatch.setenv("PATH", "/nowhere")
    assert (in_new_path := nursery_of_a_new_pool()) != before
    assert not is_running(before)
    monkeypatch.chdir(tmp_path)
    with GuardedPool(1, timeout_s=60, memory_mib=700) as pool:
        assert pool.call(os.getppid) != in_new_path
        assert pool.call(os.getcwd) == str(tmp_path)


def test_a_nursery_that_is_gone_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = nursery_of_a_new_pool()
    os.kill(killed, signal.SIGKILL)
    assert nursery_of_a_new_pool() != killed
    monkeypatch.setattr(guard, "_IDLE_S", 0.2)
    monkeypatch.setenv("DOCRAG_OTHER", "1")
    with GuardedPool(1, timeout_s=60, memory_mib=700) as pool:
        idle = pool.call(os.getppid)
        time.sleep(0.5)
        assert pool.call(os.getppid) == idle  # it has a child
    assert wait_until_gone([idle])
    assert nursery_of_a_new_pool() != idle


def test_a_forked_copy_of_a_process_has_its_own() -> None:
    ours = nursery_of_a_new_pool()
    reader, writer = os.pipe()
    if (copy := os.fork()) == 0:
        try:
            os.write(writer, str(nursery_of_a_new_pool()).encode())
        finally:
            os._exit(0)
    assert int(os.read(reader, 20)) != ours
    assert os.waitpid(copy, 0)[1] == 0
    os.close(reader)
    os.close(writer)
    assert nursery_of_a_new_pool() == ours


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="got 0, 1, 100"):
        GuardedPool(0, 1, 100)


# No `if __name__ == "__main__"` guard, on purpose.
SCRIPT = textwrap.dedent("""
    import os, subprocess, sys, time
    from docrag.ingest.guard import GuardedPool
    pool = GuardedPool(2, 60, 700)
    print(pool.call(os.getpid), pool.call(os.getppid), flush=True)
    pool.call(time.sleep, 50)
""")


def started_script() -> tuple[subprocess.Popen[str], list[int]]:
    script = subprocess.Popen(
        [sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert script.stdin
    assert script.stdout
    script.stdin.write(SCRIPT)
    script.stdin.close()
    return script, [int(pid) for pid in script.stdout.readline().split()]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_its_parent(end: signal.Signals) -> None:
    script, children = started_script()
    with script:
        assert len(children) == 2
        script.send_signal(end)
        assert script.wait(10) != 0
        assert wait_until_gone(children)
        assert script.stderr
        assert ("KeyboardInterrupt" in script.stderr.read()) == (end is signal.SIGINT)
