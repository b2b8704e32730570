"""Runs of several questions at once, and runs that are stopped: by an error, Ctrl-C, SIGKILL, another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from docrag.errors import EnvironmentFault, UsageError
from docrag.eval import in_flight
from docrag.eval.benchmarks.mmlongbench import load as load_questions
from docrag.eval.predictions import Prediction, read_predictions
from docrag.eval.questions import Question
from docrag.eval.run import RunConfig, RunOptions, run_benchmark
from tests.eval.runs import FILES, QUESTIONS, answer, run, scores, unasked

KILLED_RUN = """
import sys, time
from pathlib import Path
from docrag.eval.benchmarks.mmlongbench import load as load_questions
from docrag.eval.predictions import Prediction
from docrag.eval.run import RunConfig, RunOptions, run_benchmark

def answer(question):
    time.sleep(0.002)
    return Prediction(question.question_id, "red " * 2000, "answered", 0.5, 9, (1, 2), None, (), 1.0)

questions = load_questions(Path(sys.argv[1]))
run_benchmark(questions, answer, Path(sys.argv[2]), RunConfig({}, {}), RunOptions(resume=True))
"""


def write_gold(folder: Path, count: int) -> Path:
    line = {"doc_type": "T", "answer": "red", "evidence_pages": [1], "evidence_sources": [], "answer_format": "Str"}
    path = folder / "gold.jsonl"
    lines = [{**line, "doc_id": f"{number % 7}.pdf", "question": f"No. {number}?"} for number in range(count)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def wait_for_bytes(path: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while (not path.exists() or path.stat().st_size < size) and time.monotonic() < deadline:
        time.sleep(0.003)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_killed_at_any_moment_it_ends_as_if_left_alone(tmp_path: Path, concurrency: int) -> None:
    gold = write_gold(tmp_path, 120)
    script = KILLED_RUN.replace("resume=True", f"True, {concurrency}")

    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", script, str(gold), str(tmp_path / name)])

    assert start("whole").wait() == 0
    predictions = tmp_path / "killed" / "predictions.jsonl"
    size = 0
    for _ in range(3):
        process = start("killed")
        wait_for_bytes(predictions, size + 30_000)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        size = predictions.stat().st_size
    assert start("killed").wait() == 0
    for name in FILES if concurrency == 1 else set(FILES) - {"predictions.jsonl"}:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# --- several questions at once ---


def test_as_many_questions_are_in_flight_as_were_allowed(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=10)

    def meets(question: Question) -> Prediction:
        if question.question in ("Which colour?", "Which shape?", "Which size?"):
            together.wait()  # which ends only when three are here
        return answer(question)

    calls: list[tuple[int, int]] = []
    run(tmp_path / "three", meets, concurrency=3, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 5)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (5, 5)
    run(tmp_path / "one")
    assert scores(tmp_path / "three") == scores(tmp_path / "one")


def test_no_more_are_in_flight_than_were_allowed(tmp_path: Path) -> None:
    here, most, turn = 0, 0, threading.Lock()

    def counts(question: Question) -> Prediction:
        nonlocal here, most
        with turn:
            here += 1
            most = max(most, here)
        time.sleep(0.02)
        with turn:
            here -= 1
        return answer(question)

    run(tmp_path, counts, concurrency=2)
    assert most == 2
    with pytest.raises(UsageError, match="1 or more, got 0"):
        run(tmp_path / "none", concurrency=0)


def test_an_error_stops_the_run_and_keeps_what_was_in_flight(tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    together = threading.Barrier(2, timeout=10)

    def breaks(question: Question) -> Prediction:
        together.wait()
        if question.question == "Which colour?":
            raise Broken
        time.sleep(0.1)
        return answer(question)

    with pytest.raises(Broken):
        run(tmp_path, breaks, concurrency=2)
    assert [one.question_id for one in read_predictions(tmp_path / "predictions.jsonl")] == [QUESTIONS[1].question_id]
    assert run(tmp_path, resume=True, concurrency=4).scores.accuracy == pytest.approx(3 / 5)


def test_what_does_not_end_in_time_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "GRACE_S", 0.05)
    together, released, ended = threading.Barrier(2, timeout=10), threading.Event(), threading.Event()

    def hangs(question: Question) -> Prediction:
        together.wait()
        if question.question == "Which colour?":
            raise EnvironmentFault("no more")
        released.wait(10)
        ended.set()
        return answer(question)

    begin = time.monotonic()
    with pytest.raises(EnvironmentFault, match="no more"):
        run(tmp_path, hangs, concurrency=2)
    assert time.monotonic() - begin < 5
    run(tmp_path, resume=True)  # nothing holds the folder any more
    before = (tmp_path / "predictions.jsonl").read_bytes()
    released.set()
    assert ended.wait(10)
    time.sleep(0.05)
    assert (tmp_path / "predictions.jsonl").read_bytes() == before


def test_a_full_disk_ends_a_concurrent_run(tmp_path: Path) -> None:
    def spoils(question: Question) -> Prediction:
        (tmp_path / "predictions.jsonl").mkdir(exist_ok=True)
        return answer(question)

    with pytest.raises(EnvironmentFault, match="cannot write the run folder"):
        run(tmp_path, spoils, concurrency=2)


INTERRUPTED_RUN = KILLED_RUN.replace("time.sleep(0.002)", "time.sleep(0.05)").replace("resume=True", "True, 4")


def test_ctrl_c_stops_a_concurrent_run_soon_and_tears_nothing(tmp_path: Path) -> None:
    gold = write_gold(tmp_path, 200)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED_RUN, str(gold), str(tmp_path / "run")], stderr=subprocess.PIPE
    )
    predictions = tmp_path / "run" / "predictions.jsonl"
    wait_for_bytes(predictions, 50_000)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 5
    assert errors.decode().splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode == -signal.SIGINT
    data = predictions.read_bytes()
    assert data.endswith(b"\n")
    assert 5 <= len(read_predictions(predictions)) < 100


# --- one process at a time ---

HOLDING_RUN = KILLED_RUN.replace("time.sleep(0.002)", "print('asked', flush=True); time.sleep(60)")


def test_two_processes_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    gold = write_gold(tmp_path, 3)
    arguments = [sys.executable, "-c", HOLDING_RUN, str(gold), str(tmp_path / "run")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"asked\n"
        questions = load_questions(gold)
        again = RunOptions(resume=True)
        with pytest.raises(UsageError, match=r"another process is at work on the run in .*run\n  wait for it"):
            run_benchmark(questions, unasked, tmp_path / "run", RunConfig({}, {}), again)
        process.kill()
    assert run_benchmark(questions, quick, tmp_path / "run", RunConfig({}, {}), again).scores.questions == 3


def quick(question: Question) -> Prediction:
    return Prediction(question.question_id, "red", "answered", 0.5, 9, (1, 2), None, (), 1.0)
