"""What `docrag plan` reckons with: every figure with its unit, where it comes from, and the families of visual models.

`measured` figures are of LOG.md, on two cores of an AMD EPYC and one set of documents; `published` ones are other people's, on
other documents; `derived` ones are reckoned from those; `assumed` ones are choices, printed so that they can be doubted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from docrag.index.pooling import FACTOR
from docrag.pipelines.query_plan import PREFETCH

Kind = Literal["measured", "published", "derived", "assumed"]


class Span(NamedTuple):
    """A range with what is likely in it."""

    low: float
    typical: float
    high: float

    def plus(self, other: Span) -> Span:
        return Span(*(mine + its for mine, its in zip(self, other, strict=True)))

    def to_json(self) -> dict[str, float]:
        """To four digits: more would say that a plan knows more than it does."""
        return {name: float(f"{value:.4g}") for name, value in self._asdict().items()}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that the plan rests on, with the range that it may have elsewhere."""

    name: str
    value: float
    unit: str
    kind: Kind
    source: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not self.least <= self.value <= self.most or self.least < 0:
            raise ValueError(f"{self.name} is {self.value}, which is not from {self.least} to {self.most}")

    @property
    def least(self) -> float:
        return self.value if self.low is None else self.low

    @property
    def most(self) -> float:
        return self.value if self.high is None else self.high

    def span(self, times: float = 1) -> Span:
        return Span(self.least * times, self.value * times, self.most * times)

    def seconds_for(self, work: float, workers: float) -> Span:
        """How long `work` takes `workers` that each do as much of it a second as this figure says."""
        return Span(*(work / (pace * workers) for pace in (self.most, self.value, self.least)))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "low": self.least,
            "high": self.most,
            "unit": self.unit,
            "kind": self.kind,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Family:
    """Late-interaction models that give a page about as many vectors. `parameters` counts the model's, `page_flop` what
    embedding one page takes (2 operations a parameter and token, in the language model and in the vision tower)."""

    name: str
    pattern: re.Pattern[str]
    model_types: frozenset[str]
    vectors: Figure
    pooled: Figure
    dim: int
    parameters: float
    page_flop: float


TARGET_S = Figure("search target", 1.0, "s", "assumed", "a person waits this long for pages without minding")

# The text lanes.
TEXT_DISK = Figure(
    "text lanes on disk",
    11_776,
    "bytes a page",
    "measured",
    "LOG.md, the spine: 47 documents, 1,946 pages; text and boxes 5.4 kB, passages (5 a page) 3.8 kB, bm25 2.3 kB",
)
TEXT_MEMORY = Figure(
    "text lanes in memory",
    9_150,
    "bytes a page",
    "measured",
    "LOG.md, the index: passages and bm25 as on disk, 3 kB of the engine's own",
    high=14_000,
)
PDF_BYTES = Figure(
    "stored PDFs",
    51_000,
    "bytes a page",
    "measured",
    "47 documents; the range holds 8 of 10 of them",
    low=14_000,
    high=144_000,
)
TEXT_RATE = Figure(
    "text ingest",
    5.3,
    "pages/s a core",
    "measured",
    "LOG.md, the spine: 10.6 pages/s on two cores with a fifth of the pages by OCR; low: all by OCR, high: none",
    low=1.05,
    high=9.65,
)
TEXT_SCAN = Figure(
    "text lanes' scan",
    0.4e-6,
    "core seconds a page",
    "measured",
    "LOG.md, the index: two lanes at 2,000 and 20,000 pages, on a busy machine",
    low=0.19e-6,
    high=0.83e-6,
)
TEXT_QUESTION = Figure(
    "text question", 0.0127, "s", "measured", "LOG.md, search: over 1,946 pages, embedding included", high=0.019
)

# The visual lane. `bench/visual_search.py` takes the rates anew.
QUESTION_VECTORS = Figure("question", 20, "vectors", "assumed", "10 words with the tokens that the models add", low=15, high=30)
MAXSIM_FLOAT16 = Figure(
    "MaxSim, float16",
    13.5e9,
    "multiply-adds/s a core",
    "measured",
    "Edge 0.9, 500 pages x 700 and 4,000 pages x 54 vectors of 128: 13.9 and 13.4; it scans on one core",
    low=10e9,
    high=14e9,
)
MAXSIM_TURBO = Figure(
    "MaxSim, TurboQuant 4 bits",
    11.4e9,
    "multiply-adds/s a core",
    "measured",
    "Edge 0.9, 6,000 pages x 54 vectors of 128",
)
MAXSIM_BINARY = Figure(
    "MaxSim, binary", 18e9, "multiply-adds/s a core", "measured", "Edge 0.9, 6,000 pages x 54 vectors of 128"
)
TURBO_BITS = Figure("TurboQuant", 4, "bits a number", "measured", "Qdrant; 3.7 kB a page of 54 x 128 with what goes beside")
RESCORED = Figure("pages rescored", PREFETCH, "pages", "measured", "bench/visual_search.py: the prefetch that docrag asks")
RECALL = Figure(
    "two stages against exact",
    0.987,
    "of the first 10 pages",
    "measured",
    "bench/visual_search.py, 20,000 pages of MiniLM's token states; Qdrant for ColPali, means of rows, first 20: 0.917",
    low=0.917,
    high=1.0,
)
GPU_RATE = Figure(
    "page images embedded on a GPU",
    12.0,
    "pages/s a GPU",
    "published",
    "ColPali (3B): 2.6 on an L4, 12 on an A100; NeMo Retriever: 26 on an H100, 92.8 on four B200",
    low=2.6,
    high=26.0,
)
CPU_FLOPS = Figure(
    "matrix products on a CPU",
    2e11,
    "operations/s a core",
    "measured",
    "LOG.md, the encoder: 400 GFLOP/s on two cores",
    low=7e10,
)
GPU_QUESTION = Figure("visual question on a GPU", 0.03, "s", "assumed", "a forward pass of 3B parameters", low=0.01, high=0.06)
RENDER_RATE = Figure("pages drawn", 79, "pages/s a core", "published", "PyMuPDF at 150 dpi")
DISK_READ = Figure("reading from a disk", 1e9, "bytes/s", "assumed", "NVMe, blocks of 100 kB", low=3e8, high=3e9)

# One machine of a Qdrant cluster.
NODE_MEMORY = Figure("a machine's memory", 112 * 2**30, "bytes", "assumed", "128 GiB less the system's")
NODE_DISK = Figure("a machine's disk", 2 * 10**12, "bytes", "assumed", "4 TB, half of it free to merge segments")
NODE_CORES = Figure(
    "a machine's cores", 16, "cores", "assumed", "they share a scan evenly, as segments are scanned side by side"
)
COPIES = Figure("copies in a cluster", 2, "copies", "assumed", "Qdrant's replication factor, so that a machine may fail")
CLUSTER_LEAST = Figure("smallest cluster", 3, "machines", "published", "Qdrant's documentation: so that a majority remains")

# Sending pages to servers takes the workers' time, for it is done in Python; `bench/ray_sink.py` takes both anew.
SEND_TEXT = Figure(
    "text sent to a server",
    1_600,
    "pages/s a core",
    "measured",
    "LOG.md, the sink: 0.62 ms of a writer's CPU a page of 300 words and 5 passages, 100,000 pages; on a busy machine",
    low=1_000,
    high=1_900,
)
SEND_VISUAL = Figure(
    "visual vectors sent to a server",
    6.5e6,
    "numbers/s a core",
    "measured",
    "LOG.md, the sink: 16 ms of a writer's CPU for 814 vectors of 128, as JSON; on a busy machine",
    low=4e6,
    high=1e7,
)

TEXT_FIGURES = (TEXT_MEMORY, TEXT_RATE, TEXT_SCAN, TEXT_QUESTION, TARGET_S)
VISUAL_FIGURES = (
    *(QUESTION_VECTORS, MAXSIM_FLOAT16, MAXSIM_TURBO, MAXSIM_BINARY, TURBO_BITS, RESCORED, RECALL, DISK_READ, SEND_VISUAL),
)
GPU_FIGURES = (GPU_RATE, RENDER_RATE, GPU_QUESTION)
CPU_FIGURES = (CPU_FLOPS,)
CLUSTER_FIGURES = (NODE_MEMORY, NODE_DISK, NODE_CORES, COPIES, CLUSTER_LEAST, SEND_TEXT)


def _family(name: str, pattern: str, types: str, vectors: Figure, prompt: int, dim: int, size: tuple[float, float]) -> Family:
    """`prompt`: how many of its vectors are of no patch, and are kept as they are."""
    pooled = round((vectors.value - prompt) / FACTOR + prompt)
    source = f"{name}: one of {FACTOR} patches, and the {prompt} vectors of its prompt"
    made = Figure("pooled vectors", pooled, "vectors a page", "derived", source)
    return Family(name, re.compile(pattern), frozenset(types.split()), vectors, made, dim, *size)


def _vectors(value: float, low: float, high: float, kind: Kind, source: str) -> Figure:
    return Figure("visual vectors", value, "vectors a page", kind, source, low, high)


_TILED = "13 looks of 64 tokens at an A4 page, and the tokens between them"
# The first whose pattern is in a model's name counts, so the longer names stand first.
FAMILIES = (
    _family(
        "ColQwen3.5",
        r"colqwen-?3[._]5",
        "colqwen3_5 qwen3_5",
        _vectors(1_280, 700, 1_300, "assumed", "ColQwen3.5: 1,280 visual tokens at most"),
        *(11, 320, (4.5e9, 1.5e13)),
    ),
    _family(
        "ColQwen3",
        r"colqwen-?3",
        "colqwen3 qwen3_vl",
        _vectors(1_280, 700, 1_300, "assumed", "ColQwen3: 1,280 visual tokens at most"),
        *(11, 320, (4.4e9, 1.5e13)),
    ),
    _family(
        "ColQwen2.5",
        r"colqwen-?2[._]5",
        "colqwen2_5 qwen2_5_vl",
        _vectors(750, 690, 785, "published", "ColQwen2.5: 768 visual tokens at most, about 700 a page"),
        *(11, 128, (3.8e9, 8.2e12)),
    ),
    _family(
        "ColQwen2",
        r"colqwen-?2|colqwen",
        "colqwen2 qwen2_vl",
        _vectors(750, 690, 785, "published", "ColQwen2: 768 visual tokens at most, about 700 a page"),
        *(11, 128, (2.2e9, 6.4e12)),
    ),
    _family(
        "ColIdefics3/ColSmol",
        r"colsmol|colidefics",
        "colidefics3 idefics3",
        _vectors(880, 600, 1_150, "derived", f"ColSmol: {_TILED}"),
        *(48, 128, (0.5e9, 3.1e12)),
    ),
    _family(
        "ColModernVBERT",
        r"modernvbert",
        "colmodernvbert modernvbert",
        _vectors(880, 600, 1_150, "derived", f"ColModernVBERT: {_TILED}"),
        *(48, 128, (0.25e9, 2.8e12)),
    ),
    _family(
        "ColGemma3",
        r"colgemma|gemma-?3",
        "colgemma3 gemma3",
        _vectors(275, 270, 280, "derived", "ColGemma3: 256 visual tokens a page and the prompt's"),
        *(19, 128, (4.3e9, 5.6e12)),
    ),
    _family(
        "ColPali",
        r"colpali|paligemma",
        "colpali paligemma",
        _vectors(1_030, 1_030, 1_030, "published", "ColPali: 1,024 patches and 6 of the prompt"),
        *(6, 128, (2.9e9, 6.0e12)),
    ),
)
UNKNOWN = _family(
    "unknown",
    r"",
    "",
    _vectors(1_280, 260, 1_300, "assumed", "a model that docrag does not know: as large as the largest family"),
    *(11, 320, (4.5e9, 1.5e13)),
)
