"""Exact MaxSim over all visual vectors against the search in two stages: recall, latency, memory, disk.

    python -m bench.visual_search [DATA] --pages N [N ...] [--documents N] [--index I] [--json]

What the vectors are says `bench.visual_data`. The text that they come from is taken from the index I (default: the one that
`bench.library` keeps, where DATA is named and it is there), or else ingested. All lanes of one store hold the same pages: the
vectors themselves, and for each way to pool them and to quantize that a lane for the first stage. Every way is searched in a
process of its own that does nothing else, with the vectors in the page cache, by way of docrag's own store. Recall@10: how many
of the ten pages that exact search finds are among the ten that two stages find. Data and stores are kept in .bench/visual.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import DOCRAG, ROOT, benchmark_data, documents_of, parser, python, questions_of, run_alone, table
from bench.library import KEPT as LIBRARY
from bench.machine import hash_data
from bench.visual_data import DIM, SETTINGS, VisualData, make_data, unit_rows
from docrag.index.edge import EdgeStore
from docrag.index.pooling import DEFAULT, pool_page
from docrag.index.store import VISUAL, LaneQuery, LaneSchema, Point, Quantization, visual_schema
from docrag.pipelines.query_plan import PREFETCH
from docrag.visual import PatchBlock

KEPT = ROOT / ".bench" / "visual"
TOP = 10
PREFETCHES = (50, 100, 200)
QUESTIONS = 30
RACES = 8  # questions that are asked exactly and in two stages by turns
WANTED_RECALL = 0.95
WRITE_PAGES = 32
CONTROL = "one mean"  # known to be too little for a first stage
Pool = Callable[[NDArray[np.float16], PatchBlock], NDArray[np.float16]]


@dataclass(frozen=True)
class Way:
    """One way to the first stage: how pages are pooled, and how that lane is quantized."""

    pooling: str
    quantization: Quantization = "none"

    @property
    def lane(self) -> str:
        return f"{self.pooling}-{self.quantization}"


def _one_mean(vectors: NDArray[np.float16], _: PatchBlock) -> NDArray[np.float16]:
    return unit_rows(vectors.astype(np.float32).mean(axis=0, keepdims=True)).astype(np.float16)


POOLS: dict[str, Pool] = {
    "rows_columns": lambda vectors, block: pool_page(vectors, [block], "rows_columns"),
    "hierarchical": lambda vectors, block: pool_page(vectors, [block], "hierarchical"),
    CONTROL: _one_mean,
}
OWN = Way(DEFAULT)
WAYS = (
    *(Way("hierarchical", kept) for kept in ("none", "binary", "turbo")),
    Way("rows_columns"),
    Way("rows_columns", "binary"),
    Way(CONTROL),
)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--pages", type=int, nargs="+", default=[1000], metavar="N", help="sizes of the library")
    made.add_argument("--index", type=Path, help="an index that holds the data's documents")
    made.add_argument("--inside", nargs=3, metavar=("STORE", "LANE", "PREFETCH"), help="what the benchmark starts itself as")
    arguments = made.parse_args()
    if arguments.inside:
        store, lane, sizes = arguments.inside
        print(json.dumps(search_store(Path(store), lane, tuple(map(int, sizes.split(","))))))
        return
    with benchmark_data(arguments.data) as data:
        documents = documents_of(data, arguments.documents)
        known = LIBRARY if arguments.data is not None and LIBRARY.is_dir() else None
        vectors = data_file(data, documents, arguments.index or known, KEPT)
    result = {"sizes": [measure(vectors, pages, KEPT) for pages in arguments.pages]}
    print(json.dumps(result) if arguments.json else to_markdown(result))


def data_file(data: Path, documents: Sequence[Path], index: Path | None, folder: Path) -> Path:
    """The file below `folder` with the vectors of these documents' pages and questions, made if it is not there."""
    from docrag.client import Library

    names = [path.name for path in documents]
    key = _key(hash_data(data, names), SETTINGS)
    path = folder / f"data-{key}.npz"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    location = index or folder / f"library-{key}"
    if index is None:
        _say(f"ingesting {len(names)} documents")
        run_alone([*DOCRAG, "ingest", *map(str, documents), "--index", str(location), "--json"], allowed=(0, 1))
    with Library(str(location)) as library:
        made = make_data(library, questions_of(data, documents))
    made.save(path.with_suffix(".part.npz"))
    return path.with_suffix(".part.npz").rename(path)


def measure(data: Path, pages: int, folder: Path) -> dict[str, Any]:
    """All ways at one size of the library."""
    vectors = VisualData.load(data)
    store = build_store(vectors, pages, folder / f"store-{_key(data.name, _ways_key(vectors), pages)}")
    asked = _asked(vectors, pages)
    np.savez(store / "queries.npz", *(vectors.queries[number] for number in asked))
    exact = _inside(store, VISUAL, (TOP,))
    top = [row[0]["found"] for row in exact["questions"]]
    ways = [_way(way, _inside(store, way.lane, PREFETCHES), top, store) for way in WAYS]
    race = _inside(store, OWN.lane, (0, PREFETCH))
    return {
        "pages": pages,
        "vectors_a_page": round(float(np.mean([len(vectors.page(number)[0]) for number in range(0, pages, 97)])), 1),
        "questions": len(asked),
        "query_vectors": round(float(np.mean([len(vectors.queries[number]) for number in asked])), 1),
        "raw_mib": _raw_mib(vectors, pages),
        "disk_mib": _disk_mib(store / "pages"),
        "exact": {**_milliseconds(exact["questions"], 0), "anonymous_mib": exact["anonymous_mib"]},
        "real_pages_among_ten": round(statistics.mean(len({at % vectors.pages for at in row}) for row in top), 1),
        "evidence_found": _evidence_found(vectors, asked, top, pages),
        "ways": ways,
        "best": _best(ways),
        "own": {"lane": OWN.lane, "prefetch": PREFETCH, **_raced(race["questions"], top)},
    }


def build_store(vectors: VisualData, pages: int, folder: Path) -> Path:
    """The store in `folder` that holds the first `pages` pages in every lane, kept from an earlier run where that finished."""
    if (folder / "made").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lanes = [visual_schema(DIM), *(LaneSchema(way.lane, DIM, way.quantization) for way in WAYS)]
    store = EdgeStore.create(folder, lanes)
    begin = time.perf_counter()
    for start in range(0, pages, WRITE_PAGES):
        numbers = range(start, min(start + WRITE_PAGES, pages))
        store.upsert("pages", [_point(vectors, number) for number in numbers])
        if start % (32 * WRITE_PAGES) == 0:
            _say(f"{numbers.stop} of {pages} pages written, {time.perf_counter() - begin:.0f} s")
    store.close()
    (folder / "made").touch()
    return folder


def _point(vectors: VisualData, number: int) -> Point:
    page, block = vectors.page(number)
    pooled = {name: pool(page, block) for name, pool in POOLS.items()}
    document = str(vectors.documents[number % vectors.pages])
    lanes = {VISUAL: page, **{way.lane: pooled[way.pooling] for way in WAYS}}
    return Point(str(uuid.UUID(int=number)), {"document": document}, lanes)


def search_store(folder: Path, lane: str, sizes: Sequence[int]) -> dict[str, Any]:
    """What the process of its own does: each question with each prefetch from `lane`; 0 stands for an exact search.

    The first stage is left out where `lane` is `visual` itself.
    """
    with np.load(folder / "queries.npz") as kept:
        queries = [kept[name] for name in kept.files]
    before = _anonymous_mib()
    store = EdgeStore.open(folder)
    rows: list[list[dict[str, Any]]] = []
    store.query([_request(queries[0], lane, sizes[-1])])
    for number, query in enumerate(queries[:RACES] if 0 in sizes else queries):
        turned = [sizes[(at + number) % len(sizes)] for at in range(len(sizes))]
        timed = {size: _timed(store, _request(query, lane, size)) for size in turned}
        rows.append([timed[size] for size in sizes])
    anonymous = _anonymous_mib()
    store.close()
    return {"questions": rows, "anonymous_mib": anonymous, "anonymous_before_mib": before}


def _request(query: NDArray[np.float32], lane: str, size: int) -> LaneQuery:
    first = LaneQuery(lane, query, size) if size and lane != VISUAL else None
    return LaneQuery(VISUAL, query, TOP, prefetch=first)


def _timed(store: EdgeStore, request: LaneQuery) -> dict[str, Any]:
    begin, worked = time.perf_counter(), time.process_time()
    (found,) = store.query([request])
    spent, worked = time.perf_counter() - begin, time.process_time() - worked
    return {"ms": 1000 * spent, "cpu_ms": 1000 * worked, "found": [uuid.UUID(point.id).int for point in found]}


def _inside(store: Path, lane: str, sizes: Sequence[int]) -> dict[str, Any]:
    _say(f"searching {store.name} by {lane}")
    return run_alone(python("bench.visual_search", "--inside", store, lane, ",".join(map(str, sizes)))).output


def _way(way: Way, searched: dict[str, Any], top: Sequence[Sequence[int]], store: Path) -> dict[str, Any]:
    rows = searched["questions"]
    return {
        "pooling": way.pooling,
        "quantization": way.quantization,
        "lane": way.lane,
        "lane_mib": round(sum(_disk_mib(path) for path in store.glob(f"pages/segments/*/vector_*-{way.lane}")), 1),
        "anonymous_mib": searched["anonymous_mib"],
        "prefetch": [
            {"size": size, "recall": _recall([row[at]["found"] for row in rows], top), **_milliseconds(rows, at)}
            for at, size in enumerate(PREFETCHES)
        ],
    }


def _best(ways: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The one with the least work among those whose recall is high enough; a control is none of them."""
    fit = [
        (tried["cpu_ms"], {"lane": way["lane"], "prefetch": tried["size"], "anonymous_mib": way["anonymous_mib"]})
        for way in ways
        for tried in way["prefetch"]
        if way["pooling"] != CONTROL and tried["recall"] >= WANTED_RECALL
    ]
    return min(fit, key=lambda pair: pair[0])[1] if fit else None


def _raced(rows: Sequence[Sequence[dict[str, Any]]], top: Sequence[Sequence[int]]) -> dict[str, Any]:
    exact, staged = (_milliseconds(rows, at) for at in (0, 1))
    return {
        "races": len(rows),
        "recall": _recall([row[1]["found"] for row in rows], top[: len(rows)]),
        "exact": exact,
        "two_stage": staged,
        "share": round(staged["median_ms"] / exact["median_ms"], 4),
        "cpu_share": round(staged["cpu_ms"] / exact["cpu_ms"], 4),
    }


def _recall(found: Sequence[Sequence[int]], top: Sequence[Sequence[int]]) -> float:
    shares = [len(set(ours) & set(theirs)) / len(theirs) for ours, theirs in zip(found, top, strict=True)]
    return round(statistics.mean(shares), 4)


def _milliseconds(rows: Sequence[Sequence[dict[str, Any]]], at: int) -> dict[str, float]:
    """Of the wall, and of the processor: the search keeps one core busy, so that other things that run matter less there."""
    median, p95 = np.percentile([row[at]["ms"] for row in rows], [50, 95])
    worked = np.median([row[at]["cpu_ms"] for row in rows])
    return {"median_ms": round(float(median), 2), "p95_ms": round(float(p95), 2), "cpu_ms": round(float(worked), 2)}


def _asked(vectors: VisualData, pages: int) -> list[int]:
    """The questions, evenly chosen, about documents that have a page among the first `pages`."""
    there = set(vectors.documents[:pages].tolist())
    fit = [number for number, document in enumerate(vectors.asked) if document in there]
    return fit[:: max(1, len(fit) // QUESTIONS)][:QUESTIONS]


def _evidence_found(vectors: VisualData, asked: Sequence[int], top: Sequence[Sequence[int]], pages: int) -> float | None:
    """The share of the evidence pages that exact search, or a copy of which it, has among its ten: is there any structure?"""
    shares: list[float] = []
    for number, found in zip(asked, top, strict=True):
        wanted = {page for page in vectors.evidence[number] if page < pages}
        if wanted:
            shares.append(len(wanted & {at % vectors.pages for at in found}) / len(wanted))
    return round(statistics.mean(shares), 3) if shares else None


def _raw_mib(vectors: VisualData, pages: int) -> float:
    patches = vectors.shapes.prod(axis=1)
    return round(float(np.resize(patches, pages).sum()) * DIM * 2 / 2**20, 1)


def _disk_mib(folder: Path) -> float:
    """What a folder takes on the disk: files with holes count what they hold."""
    return round(sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 2**20, 1)


def _anonymous_mib() -> float:
    """The memory of this process that is of no file, in MiB: what the kernel can't drop and read again."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return round(sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024, 1)


def _key(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(repr, parts)).encode()).hexdigest()[:12]


def _ways_key(vectors: VisualData) -> str:
    """Changes with the ways and with what pooling makes of a page."""
    page, block = vectors.page(0)
    return _key(WAYS, [hashlib.sha256(pool(page, block).tobytes()).hexdigest() for pool in POOLS.values()])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def to_markdown(result: dict[str, Any]) -> str:
    return "\n\n".join(part for size in result["sizes"] for part in _size_markdown(size))


def _size_markdown(size: dict[str, Any]) -> Iterator[str]:
    exact, best, own = size["exact"], size["best"], size["own"]
    yield f"### {size['pages']:,} pages"
    yield (
        f"{size['vectors_a_page']:.0f} vectors a page, {size['raw_mib']:,.0f} MiB as raw float16; all lanes together take"
        f" {size['disk_mib']:,.0f} MiB. {size['questions']} questions of {size['query_vectors']:.0f} vectors. Exact search:"
        f" median {exact['median_ms']:.0f} ms, p95 {exact['p95_ms']:.0f} ms, {exact['cpu_ms']:.0f} ms of one core;"
        f" {size['real_pages_among_ten']} different real pages among its ten."
    )
    columns = ("first stage", "prefetch", "recall@10", "median ms", "p95 ms", "CPU ms", "lane MiB", "anonymous MiB")
    yield table(columns, (row for way in size["ways"] for row in _way_rows(way)))
    if best is None:
        yield f"No way reaches a recall of {WANTED_RECALL}."
    else:
        yield f"Least work with a recall of {WANTED_RECALL} or more: {best['lane']}, prefetch {best['prefetch']}."
    yield (
        f"docrag's own way ({own['lane']}, prefetch {own['prefetch']}), in turn with exact searches ({own['races']} questions):"
        f" median {own['two_stage']['median_ms']:.0f} ms against {own['exact']['median_ms']:.0f} ms, {own['share']:.3f} of it,"
        f" and {own['cpu_share']:.3f} of its work; recall@10 {own['recall']:.3f}."
    )


def _way_rows(way: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    for tried in way["prefetch"]:
        times = (f"{tried[name]:.1f}" for name in ("median_ms", "p95_ms", "cpu_ms"))
        yield way["lane"], tried["size"], f"{tried['recall']:.3f}", *times, way["lane_mib"], way["anonymous_mib"]


if __name__ == "__main__":
    main()
