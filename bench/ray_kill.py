"""An ingest on a simulated Ray cluster whose nodes, workers, driver and Qdrant die at random, against one left alone here.

    python -m bench.ray_kill [DATA] [--documents N] [--kills 20] [--seed 0] [--json]

Three nodes, each with its own raylet, and the stand-in for a Qdrant server. One after the other: a node is removed (and one
added again later), a worker process, the driver or the stand-in gets SIGKILL (the stand-in starts again on its folder). A
driver that died or stopped is started again, with some more documents, so that there is work until the last kill. After the
last run both indexes must hold the same (ids, payloads, vectors by cosine, records but times, PDFs), `verify` must find
nothing, and no process may be left. Exit code 1 where that is not so.

The documents are made for it, and DATA's own where it is named; they are read without OCR and encoded by the hash encoder.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.common import documents_of, parser, python, run_alone, table
from bench.kill import left_behind
from bench.ray_cluster import Driver, SimulatedCluster, StandIn, own_ray
from bench.same_index import compare
from bench.tiny_pdfs import write_pdfs
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify

Kind = Literal["node", "worker", "driver", "server"]
KINDS: tuple[Kind, ...] = ("node", "worker", "driver", "server")
NODES = 3
FILES_A_START, PAGES = 24, 12  # that come with each start of the driver
EARLY_SHARE = 0.2  # of the kills, before a run has written its first page
EARLY_S = 10.0
LATE_SHARE = 0.8  # of the pages that come with a start, which may be written before a strike: then there is work left
AWAY_S = 4.0  # a node or the server is gone for so long at most
RUN_LIMIT_S = 900.0
COSINE = 0.9999
RUNS_AFTER = 5  # after the last kill: a run may stop where a machine died, and says so
GONE_WITHIN_S = 15.0


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--kills", type=int, default=20, metavar="N")
    made.add_argument("--seed", type=int, default=0)
    arguments = made.parse_args()
    documents = documents_of(arguments.data.absolute(), arguments.documents) if arguments.data else []
    result = measure(documents, kinds_of(arguments.kills, arguments.seed), arguments.seed)
    print(json.dumps(result) if arguments.json else to_markdown(result))
    sys.exit(1 if result["differences"] else 0)


def kinds_of(kills: int, seed: int) -> list[Kind]:
    """What dies, in order: all kinds in turn, in an order that `seed` gives."""
    order = random.Random(seed).sample(KINDS, len(KINDS))
    return [order[at % len(order)] for at in range(kills)]


@dataclass(slots=True)
class Strike:
    """One kill: what died, how many seconds after the start of which run, the pages written by then, what became of the run.

    `end`: how the run ended by it, or "went on".
    """

    kind: str
    run: int
    after_s: float
    pages: int | None
    end: str = "went on"


@dataclass(slots=True)
class Scene:
    """What a run works on, and the runs that there were."""

    place: Path
    cluster: SimulatedCluster
    server: StandIn
    chance: random.Random
    run: int = 0
    written: int = 0
    driver: Driver | None = None
    strikes: list[Strike] = field(default_factory=list[Strike])
    ends: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def index(self) -> str:
        return f"{self.server.url}/library"

    @property
    def pages(self) -> int | None:
        """Points in the index, of pages."""
        return self.server.count("library_pages")

    def start(self, more: bool = True, *, on_ray: bool = True) -> Driver:
        """A driver for all documents, with more of them than the one before had."""
        if more:
            write_pdfs(self.place / "pdfs", range(self.run * FILES_A_START, (self.run + 1) * FILES_A_START), PAGES)
        self.run += 1
        self.written = self.pages or 0
        arguments = [str(self.place / "pdfs"), "--index", self.index, "--blobs", str(self.place / "blobs")]
        log = self.place / f"run{self.run}.log"
        where = ("--address", self.cluster.address) if on_ray else ("--here",)
        self.driver = Driver([*arguments, *where, "--workers", "2"], log).start()
        return self.driver

    def running(self) -> Driver:
        """The driver that is at work: the one that was started last, or a new one where that has ended."""
        if self.driver is not None and self.driver.exit_code is None:
            return self.driver
        self.note_end()
        return self.start()

    def note_end(self) -> None:
        """Put down how the last run ended, unless that was done."""
        driver, self.driver = self.driver, None
        if driver is None:
            return
        code = driver.exit_code
        told = "" if code in (0, 1, -9) else driver.told()
        seconds = round(time.monotonic() - driver.begin, 1)
        self.ends.append({"run": self.run, "exit_code": code, "seconds": seconds, "told": told, "strays": driver.strays()})
        last = next((strike for strike in reversed(self.strikes) if strike.run == self.run), None)
        if last is not None and code not in (0, 1):
            last.end = {-9: "killed", 2: "stopped, to be resumed"}.get(code or 0, f"exit code {code}")


def measure(documents: Sequence[Path], kinds: Sequence[Kind], seed: int) -> dict[str, Any]:
    """Kill `kinds` in their order; to `documents` come some more at each start of a driver."""
    begin = time.perf_counter()
    with own_ray() as mark, tempfile.TemporaryDirectory(prefix="docrag-bench-") as made:
        place = Path(made)
        (place / "pdfs").mkdir()
        for path in documents:
            (place / "pdfs" / path.name).symlink_to(path)
        with StandIn(place / "server") as server:
            with SimulatedCluster(NODES) as cluster:
                scene = Scene(place, cluster, server, random.Random(seed))
                for kind in kinds:
                    _strike(scene, kind)
                last = _finish(scene)
            left = left_behind(mark, GONE_WITHIN_S, (server.pid,))
            differences = [*left, *_crashes(scene), *_check(scene)]
        return {
            "pages": last["pages"],
            "runs": scene.ends,
            "kills": [asdict(strike) for strike in scene.strikes],
            "last": {"pages": last["pages"], "seconds": last["seconds"]},
            "seconds": round(time.perf_counter() - begin, 1),
            "differences": differences,
        }


def _strike(scene: Scene, kind: Kind) -> None:
    """Wait for a moment of the run that is at work, or of a new one, and kill."""
    driver = _at_its_moment(scene)
    while driver.exit_code is not None:  # it was done before
        driver = _at_its_moment(scene)
    strike = Strike(kind, scene.run, round(time.monotonic() - driver.begin, 1), scene.pages)
    scene.strikes.append(strike)
    strike.kind = _kill(scene, driver, kind)


def _at_its_moment(scene: Scene) -> Driver:
    """The driver that is at work, when so much of the pages that it came with is written, or before the first is."""
    driver = scene.running()
    if scene.chance.random() < EARLY_SHARE:
        pages, until = 1.0, time.monotonic() + scene.chance.uniform(0, EARLY_S)
    else:
        pages, until = scene.chance.uniform(0, LATE_SHARE) * FILES_A_START * PAGES, float("inf")
    while driver.exit_code is None and (scene.pages or 0) < scene.written + pages and time.monotonic() < until:
        time.sleep(0.1)
    return driver


def _kill(scene: Scene, driver: Driver, kind: Kind) -> str:
    """Kill, and put back what the cluster is to have; what died."""
    away_s = scene.chance.uniform(0, AWAY_S)
    if kind == "driver":
        driver.kill()
    elif kind == "worker":
        while not (killed := scene.cluster.kill_worker(scene.chance)) and driver.exit_code is None:
            time.sleep(0.1)
        return f"worker {killed or '(none was there)'}"
    elif kind == "node":
        scene.cluster.remove_node(scene.chance)
        time.sleep(away_s)
        scene.cluster.add_node()
    else:
        scene.server.kill()
        time.sleep(away_s)
        scene.server.start()
    return kind


def _finish(scene: Scene) -> dict[str, Any]:
    """Let the last run finish, and run again without kills until nothing is owed; the last report."""
    for _ in range(RUNS_AFTER):
        driver = scene.driver or scene.start(more=False)
        code = _wait(driver)
        scene.note_end()
        if code in (0, 1):
            final = scene.start(more=False, on_ray=False)  # nothing is owed any more: it must find that by itself
            _wait(final)
            scene.note_end()
            return final.report()
    raise RuntimeError(f"{RUNS_AFTER} runs without a kill did not finish: {scene.ends[-1]}")


def _wait(driver: Driver) -> int:
    try:
        return driver.wait(RUN_LIMIT_S)
    except subprocess.TimeoutExpired:
        driver.kill()
        raise RuntimeError(f"a run did not end within {RUN_LIMIT_S:g} s: {driver.told()}") from None


def _crashes(scene: Scene) -> list[str]:
    """Runs that ended in a way that tells nobody what to do, or wrote more to stdout than their report."""
    bad = [end for end in scene.ends if end["exit_code"] not in (0, 1, 2, -9)]
    loud = [end for end in scene.ends if end["strays"]]
    return [
        *(f"run {end['run']} ended with {end['exit_code']}: {end['told'][-600:]}" for end in bad),
        *(f"run {end['run']} wrote to stdout: {end['strays'][0][:200]}" for end in loud),
    ]


def _check(scene: Scene) -> list[str]:
    """What differs from a local run over the same documents in a folder, and what `verify` finds.

    A PDF that nobody wants (a look at the blob store was killed) is no damage: a repair sweeps it.
    """
    alone = scene.place / "alone"
    run_alone(python("bench.ray_driver", scene.place / "pdfs", "--index", alone, "--here", "--workers", 2), allowed=(0, 1))
    with LibraryIndex.open(scene.index) as index:
        found = [f"verify: {damage.kind}: {damage.what}" for damage in verify(index, repair=True).damages]
        found += [f"verify after its repair: {finding.what}" for finding in verify(index).findings]
    return [*found, *compare(str(alone), scene.index, COSINE)]


def to_markdown(result: dict[str, Any]) -> str:
    met = sum(kill["end"] != "went on" for kill in result["kills"])
    told = (
        f"{result['pages']['attempted']} pages, {len(result['runs'])} runs on a cluster of {NODES} nodes, "
        f"{result['seconds']:.0f} s in all. Of {len(result['kills'])} kills {len(result['kills']) - met} cost a run nothing "
        f"but time. The last run found {result['last']['pages']['skipped']} pages done, in {result['last']['seconds']:.1f} s."
    )
    columns = ("kill", "of", "run", "after s", "pages written", "the run")
    kills = table(columns, ((at, *kill.values()) for at, kill in enumerate(result["kills"], start=1)))
    runs = table(("run", "exit code", "s", "told"), (_run_row(run) for run in result["runs"]), align="---")
    found = result["differences"]
    verdict = "\n".join(f"- **{difference}**" for difference in found) or (
        "No difference from a run left alone in a folder (ids, payloads, records, vectors, PDFs); `verify` finds nothing; "
        "no process is left."
    )
    return "\n\n".join([told, kills, runs, verdict])


def _run_row(run: dict[str, Any]) -> tuple[object, ...]:
    lines = [line for line in run["told"].splitlines() if "Error" in line or "Fault" in line]
    return run["run"], run["exit_code"], run["seconds"], (lines or [""])[-1][:150]


if __name__ == "__main__":
    main()
