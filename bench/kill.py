"""`docrag ingest` killed with SIGKILL at random moments and resumed each time, against one that was left alone.

    python -m bench.kill [DATA] [--documents N] [--kills 10] [--seed 0] [--json]

Both indexes must hold the same points (ids, payloads, vectors by cosine), records (their times aside) and PDFs, and no process
may be left of those that were killed. Exit code 1 where they don't.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.common import DOCRAG, ROOT, benchmark_data, documents_of, link_data, parser, run_alone, table
from bench.same_index import compare

EARLY_SHARE = 0.2  # of the kills, before the first page can be written
SPARE = 0.8  # what a kill undoes is done again: so the work left lasts for all kills
GONE_WITHIN_S = 5.0
_LOAD = "from docrag.index.encoders import MiniLM; MiniLM().load(); print({})"
MARK = "BENCH_KILL_RUN"  # in the environment of what is killed, and so of all that it started


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--kills", type=int, default=10, metavar="N")
    made.add_argument("--seed", type=int, default=0)
    arguments = made.parse_args()
    with benchmark_data(arguments.data) as data:
        result = measure(data, documents_of(data, arguments.documents), arguments.kills, arguments.seed)
    print(json.dumps(result) if arguments.json else to_markdown(result))
    sys.exit(1 if result["differences"] else 0)


def measure(data: Path, documents: Sequence[Path], kills: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="docrag-bench-") as made:
        place = Path(made)
        links = link_data(data, documents, place / "data")
        alone, killed = place / "alone", place / "killed"
        undisturbed = run_alone(_command(links, alone), allowed=(0, 1))
        whole_s = undisturbed.seconds
        # What every run needs before its first page is written: Python, the index, the encoder.
        loaded = run_alone([sys.executable, "-c", _LOAD])
        start_s = min(whole_s / 2, whole_s - undisturbed.output["seconds"] + loaded.seconds)
        ends: list[dict[str, Any]] = []
        for delay_s in kill_delays(kills, whole_s, start_s, random.Random(seed)):
            process = _start(_command(links, killed), made)
            ends.append({"after_s": round(delay_s, 2), "ended_as": _kill_after(process, delay_s)})
        last = run_alone(_command(links, killed), allowed=(0, 1))
        differences = [*left_behind(made), *compare(str(alone), str(killed))]
        if last.output["pages"]["failed"] != undisturbed.output["pages"]["failed"]:
            differences.append("the last run reports other failures than the run left alone")
        return {
            "pages": undisturbed.output["pages"],
            "alone_seconds": round(whole_s, 1),
            "kills": ends,
            "hit": sum(end["ended_as"] == "killed" for end in ends),
            "last": {"pages": last.output["pages"], "seconds": round(last.seconds, 1)},
            "differences": differences,
        }


def kill_delays(kills: int, whole_s: float, start_s: float, chance: random.Random) -> list[float]:
    """Seconds from the start of each run to its kill.

    Some fall before the first page is written; the others are spread over the work, of which every run goes on where the one
    before was killed: so a run gets the time from one moment to the next, behind its own start.
    """
    early = round(EARLY_SHARE * kills)
    moments = sorted(chance.uniform(0, SPARE * (whole_s - start_s)) for _ in range(kills - early))
    late = [start_s + moment - before for moment, before in zip(moments, [0.0, *moments], strict=False)]
    delays = [chance.uniform(0, start_s) for _ in range(early)] + late
    chance.shuffle(delays)
    return delays


def _command(links: Path, index: Path) -> list[str]:
    return [*DOCRAG, "ingest", str(links / "documents"), "--index", str(index), "--json"]


def _start(command: Sequence[str], mark: str) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, env={**os.environ, MARK: mark})


def _kill_after(process: subprocess.Popen[bytes], delay_s: float) -> str:
    """Kill the process alone, not its children: they must notice by themselves."""
    try:
        return f"done before, exit code {process.wait(delay_s)}"
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return "killed"


def left_behind(mark: str, within_s: float = GONE_WITHIN_S, but: Sequence[int] = ()) -> list[str]:
    """Processes with this mark, `but` for some, that outlived, by more than `within_s`, the one that started them."""
    until = time.monotonic() + within_s
    while left := [process for process in psutil.process_iter() if process.pid not in but and _mark(process) == mark]:
        if time.monotonic() > until:
            return [f"process {process.pid} ({_told(process)}) outlived the ingest that started it" for process in left]
        time.sleep(0.1)
    return []


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except psutil.Error:  # it ended meanwhile, or is somebody else's
        return None


def _told(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:100].strip() or process.name()
    except psutil.Error:  # it ended after all
        return "gone by now"


def to_markdown(result: dict[str, Any]) -> str:
    told = (
        f"{result['pages']['attempted']} pages; left alone {result['alone_seconds']:.1f} s. "
        f"{result['hit']} of {len(result['kills'])} kills met it at work; the last run kept "
        f"{result['last']['pages']['skipped']} pages of those before and did {result['last']['pages']['ok']}, "
        f"in {result['last']['seconds']:.1f} s."
    )
    kills = table(("kill", "after s", "the run"), ((at, *end.values()) for at, end in enumerate(result["kills"], start=1)))
    found = result["differences"]
    verdict = (
        "\n".join(f"- **{difference}**" for difference in found) or "No difference (ids, payloads, records, vectors, PDFs)."
    )
    if not result["last"]["pages"]["skipped"]:
        verdict += " But nothing was kept of the killed runs: take more documents, or fewer kills."
    return "\n\n".join([told, kills, verdict])


if __name__ == "__main__":
    main()
