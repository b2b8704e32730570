"""`docrag plan`: what a library of so many pages takes, in disk, memory, hours and machines, and which storage to choose.

Nothing is loaded or asked over the network: a model is known by its name or, where it is a folder, by its config.json.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from docrag.errors import UsageError
from docrag.index.library_index import LibraryIndex
from docrag.index.location import is_folder
from docrag.plan import constants as known
from docrag.plan.constants import Figure, Span
from docrag.plan.model import Model, describe_model, model_of_index
from docrag.plan.text import plan_text

Storage = Literal["text", "full", "pooled", "turbo", "binary"]
Bound = Literal["", "memory", "disk", "cores"]
MOST_PAGES = 10**12
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*(?:\.\d+)?(?:e\+?\d{1,3})?)([kmgb]?)", re.ASCII | re.IGNORECASE)
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_WEEK_S = 7 * 24 * 3600
_LEAST_SEARCH_S = 0.2  # what is left for the scan where the question alone takes the target's time
# A coarser storage is only worth it where it takes a third less.
_WORTH = 2 / 3


@dataclass(frozen=True, slots=True)
class Here:
    """What this machine has: bytes of memory, free bytes on the disk of the current folder, cores."""

    memory: int
    free_disk: int
    cores: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes a page of the text lanes and of the stored PDFs, and the visual model of the index that they were measured on."""

    text: Figure = known.TEXT_DISK
    pdf: Figure = known.PDF_BYTES
    model: Model | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One way to store the library. Bytes are of one copy, `machines` hold `copies` of it; `bound` is what sets their number.

    `seconds` is one search with its question's embedding. `embedded`: one process on one core does it, without a server.
    `rescored` says that the search is not exact: pages are proposed by coarser vectors, then scored exactly.
    """

    storage: Storage
    disk: float
    memory: float
    seconds: Span
    machines: int
    copies: int
    bound: Bound
    embedded: bool
    rescored: bool
    fits_here: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "storage": self.storage,
            "disk_bytes": round(self.disk),
            "memory_bytes": round(self.memory),
            "search_seconds": self.seconds.to_json(),
            "machines": self.machines,
            "copies": self.copies,
            "bound_by": self.bound or None,
            "embedded": self.embedded,
            "exact": not self.rescored,
            "fits_this_machine": self.fits_here,
        }


@dataclass(frozen=True, slots=True)
class IngestTime:
    """How long bringing the pages in takes, in seconds, and what would do it in a week. `gpus` 0: the CPU embeds the images."""

    cores: int
    gpus: int
    text_s: Span
    visual_s: Span | None
    week_cores: int
    week_gpus: int
    drawing_cores: int

    def to_json(self) -> dict[str, Any]:
        hours = {"text_hours": self.text_s, "visual_hours": self.visual_s}
        spans = {name: span and Span(*(part / 3600 for part in span)).to_json() for name, span in hours.items()}
        return {
            "cores": self.cores,
            "gpus": self.gpus,
            **spans,
            "for_a_week": {"cores": self.week_cores, "gpus": self.week_gpus},
            "cores_to_draw_for_the_gpus": self.drawing_cores,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What `docrag plan` answers. `figures` are all that it was reckoned from."""

    pages: int
    model: Model | None
    options: tuple[Option, ...]
    recommended: Storage
    reason: str
    ingest: IngestTime
    pdfs: Span
    notes: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def chosen(self) -> Option:
        return next(option for option in self.options if option.storage == self.recommended)

    def to_json(self) -> dict[str, Any]:
        model = self.model
        return {
            "pages": self.pages,
            "model": model
            and {
                "name": model.name,
                "family": model.family.name,
                "known_by": model.known_by,
                "vectors_a_page": round(model.family.vectors.value),
                "pooled_vectors_a_page": round(model.family.pooled.value),
                "dim": model.dim,
                "memory_bytes": round(2 * model.family.parameters),
            },
            "options": [option.to_json() for option in self.options],
            "recommended": self.recommended,
            "reason": self.reason,
            "ingest": self.ingest.to_json(),
            "pdf_bytes": {name: round(value) for name, value in self.pdfs._asdict().items()},
            "notes": list(self.notes),
            "figures": [figure.to_json() for figure in self.figures],
        }

    def to_text(self) -> str:
        return plan_text(self)


def parse_pages(text: str) -> int:
    """A number of pages: 10000, 10_000, 1,000,000, 1e6, 10k, 1.5M. Raises UsageError on anything else, and out of 1..10^12."""
    match = _NUMBER.fullmatch(text.strip())
    try:
        pages = Decimal(match[1].replace(",", "")) * _TIMES[match[2].lower()] if match else None
    except InvalidOperation:  # an exponent that Decimal does not take
        pages = None
    if pages is None or not 1 <= pages <= MOST_PAGES or pages != pages.to_integral_value():
        raise UsageError(
            f"--pages is a whole number from 1 to {MOST_PAGES:,}, got {text!r}",
            "write it as 10000, 10_000, 1,000,000, 1e6 or 1M",
        )
    return int(pages)


def make_plan(
    pages: str | int, visual: str | None = None, gpus: int | None = None, cpus: int | None = None, index: str | None = None
) -> Plan:
    """Plan for `pages` pages, with the text lanes alone or, where `visual` names a model, with the visual lane as well.

    `gpus` embed page images (None: as many as do it in a week, 0: the CPU does), `cpus` cores read and embed text (None: this
    machine's). With `index`, a folder, its own bytes a page stand in for the measured ones, and its model for `visual`.
    Raises UsageError on nonsense, and what opening the index raises.
    """
    count = parse_pages(str(pages))
    if gpus is not None and gpus < 0:
        raise UsageError(f"--gpus is a number of GPUs, 0 or more, got {gpus}", "--gpus 0 plans for CPUs alone")
    if cpus is not None and cpus < 1:
        raise UsageError(f"--cpus is a number of cores, 1 or more, got {cpus}")
    here = look_here()
    own = measure_index(index) if index is not None else Sizes()
    model = own.model if visual is None else None if visual == "none" else describe_model(visual)
    ingest = _ingest_time(count, model, here.cores if cpus is None else cpus, gpus)
    storages: tuple[Storage, ...] = ("text", "full", "pooled", "turbo", "binary") if model else ("text",)
    options = tuple(_option(storage, count, model, ingest, (own, here)) for storage in storages)
    recommended, reason = _recommend(options)
    return Plan(
        pages=count,
        model=model,
        options=options,
        recommended=recommended,
        reason=reason,
        ingest=ingest,
        pdfs=own.pdf.span(count),
        notes=_notes(options, recommended, model, count),
        figures=_figures(model, ingest, options, own),
    )


def look_here() -> Here:
    """What this machine has, by the system's own account."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Here(memory, shutil.disk_usage(Path.cwd()).free, os.cpu_count() or 1)


def measure_index(location: str) -> Sizes:
    """The text lanes' and the PDFs' bytes a page of the index at `location`, and its visual lane's model ("" for none).

    Raises UsageError where it is on a server or empty, and what opening it raises.
    """
    if not is_folder(location):
        raise UsageError(
            f"the sizes of an index on a server can't be seen: {location}", "plan without --index, or with a folder"
        )
    with LibraryIndex.open(location) as index:
        pages = sum(record.document.pages for record in index.documents())
        source = f"the index at {location}, {pages:,} pages"
        model = model_of_index(index, source)
    if not pages:
        raise UsageError(f"the index at {location} is empty: there is nothing to measure", "plan without --index")
    segments = Path(location) / "pages" / "segments"
    disk = _allocated(path for path in segments.rglob("*") if "visual" not in str(path.relative_to(segments)))
    blobs = _allocated((Path(location) / "blobs").rglob("*"))
    text = replace(known.TEXT_DISK, value=disk / pages, source=source)
    if not blobs:  # they are kept elsewhere
        return Sizes(text, known.PDF_BYTES, model)
    return Sizes(text, replace(known.PDF_BYTES, value=blobs / pages, low=None, high=None, source=source), model)


def _ingest_time(pages: int, model: Model | None, cores: int, gpus: int | None) -> IngestTime:
    week_gpus = math.ceil(pages / known.GPU_RATE.value / _WEEK_S) if model else 0
    used = (week_gpus if gpus is None else gpus) if model else 0
    visual = None
    if model and used:
        visual = known.GPU_RATE.seconds_for(pages, used)
    elif model:
        visual = known.CPU_FLOPS.seconds_for(pages * model.family.page_flop, cores)
    return IngestTime(
        cores=cores,
        gpus=used,
        text_s=known.TEXT_RATE.seconds_for(pages, cores),
        visual_s=visual,
        week_cores=math.ceil(pages / known.TEXT_RATE.value / _WEEK_S),
        week_gpus=week_gpus,
        drawing_cores=math.ceil(used * known.GPU_RATE.most / known.RENDER_RATE.value),
    )


def _option(storage: Storage, pages: int, model: Model | None, ingest: IngestTime, where: tuple[Sizes, Here]) -> Option:
    sizes, here = where
    disk, memory = pages * sizes.text.value, pages * known.TEXT_MEMORY.value
    scan, fixed = known.TEXT_SCAN.span(pages), known.TEXT_QUESTION.span()
    if model is not None and storage != "text":
        visual = _visual_bytes(model)
        disk += pages * (visual["full"] + visual["pooled"] + (visual[storage] if storage in ("turbo", "binary") else 0))
        memory += pages * visual[storage]
        scan = scan.plus(_visual_scan(storage, pages, model))
        fixed = fixed.plus(_visual_question(model, ingest))
        if storage != "full":
            fixed = fixed.plus(_rescoring(model))
    budget = max(known.TARGET_S.value - fixed.typical, _LEAST_SEARCH_S)
    machines, copies, bound = _machines(disk, memory, scan.typical / budget)
    embedded = machines == 1 and scan.typical <= budget
    cores = 1 if embedded else machines * known.NODE_CORES.value
    return Option(
        storage=storage,
        disk=disk,
        memory=memory,
        seconds=Span(*(once + each / cores for once, each in zip(fixed, scan, strict=True))),
        machines=machines,
        copies=copies,
        bound=bound,
        embedded=embedded,
        rescored=storage not in ("text", "full"),
        fits_here=disk + pages * sizes.pdf.value <= here.free_disk and memory <= here.memory,
    )


def _visual_bytes(model: Model) -> dict[Storage, float]:
    """Bytes a page of what each storage scans."""
    vectors, pooled = model.family.vectors.value * model.dim, model.family.pooled.value * model.dim
    return {"full": 2 * vectors, "pooled": 2 * pooled, "turbo": pooled * known.TURBO_BITS.value / 8, "binary": pooled / 8}


def _visual_scan(storage: Storage, pages: int, model: Model) -> Span:
    """Core seconds to compare one question with every page."""
    rates = {"turbo": known.MAXSIM_TURBO, "binary": known.MAXSIM_BINARY}
    vectors = model.family.vectors if storage == "full" else model.family.pooled
    products = [pages * vectors.value * model.dim * rows for rows in known.QUESTION_VECTORS.span()]
    rate = rates.get(storage, known.MAXSIM_FLOAT16)
    return Span(products[0] / rate.most, products[1] / rate.value, products[2] / rate.least)


def _rescoring(model: Model) -> Span:
    """Seconds for the exact scores of the pages that the first stage proposes, their vectors read from the disk or at hand."""
    numbers = known.RESCORED.value * model.family.vectors.value * model.dim
    scoring = numbers * known.QUESTION_VECTORS.value / known.MAXSIM_FLOAT16.value
    return Span(scoring, scoring + 2 * numbers / known.DISK_READ.value, scoring + 2 * numbers / known.DISK_READ.least)


def _visual_question(model: Model, ingest: IngestTime) -> Span:
    if ingest.gpus:
        return known.GPU_QUESTION.span()
    return known.CPU_FLOPS.seconds_for(2 * model.family.parameters * known.QUESTION_VECTORS.value, ingest.cores)


def _machines(disk: float, memory: float, cores: float) -> tuple[int, int, Bound]:
    """How many machines, how many copies of all they hold, and what sets their number."""
    alone = _needs(disk, memory, cores)
    if max(alone.values()) <= 1:
        return 1, 1, ""
    copies = round(known.COPIES.value)
    needs = _needs(copies * disk, copies * memory, cores)
    most: Bound = max(needs, key=lambda what: needs[what])
    return max(math.ceil(needs[most]), round(known.CLUSTER_LEAST.value)), copies, most


def _needs(disk: float, memory: float, cores: float) -> dict[Bound, float]:
    return {
        "memory": memory / known.NODE_MEMORY.value,
        "disk": disk / known.NODE_DISK.value,
        "cores": cores / known.NODE_CORES.value,
    }


def _recommend(options: Sequence[Option]) -> tuple[Storage, str]:
    """The most exact storage, unless a coarser one takes a third less (machines; one process counts half a machine)."""
    if len(options) == 1:
        return options[0].storage, "no visual model is asked for: the text lanes are all there is"
    chosen, *others = options[1:]
    passed: list[Option] = []
    for option in others:
        if _effort(option) <= _WORTH * _effort(chosen):
            passed.append(chosen)
            chosen = option
    if not passed:
        return (
            chosen.storage,
            f"it compares every page exactly, and {_deployment(chosen)}; coarser storage would not save a third",
        )
    saved = " and ".join(f"{option.storage} storage {_deployment(option)}" for option in passed)
    return chosen.storage, f"it {_deployment(chosen)}, where {saved}; what is coarser yet would not save another third"


def _effort(option: Option) -> float:
    return 0.5 if option.embedded else option.machines


def _deployment(option: Option) -> str:
    if option.embedded:
        return f"answers in {option.seconds.typical:.2g} s in one process without a server"
    if option.machines == 1:
        return "takes a Qdrant server on one machine"
    return f"takes {option.machines:,} machines (for their {option.bound})"


def _notes(options: Sequence[Option], recommended: Storage, model: Model | None, pages: int) -> tuple[str, ...]:
    chosen = next(option for option in options if option.storage == recommended)
    notes: list[str] = []
    if model is not None and model.family is known.UNKNOWN:
        notes.append(f"the family of {model.name} is not known ({model.known_by}): planned as large as the largest")
    if chosen.seconds.typical > known.TARGET_S.value:
        notes.append("the target can't be met: embedding the question alone takes most of it; plan with a GPU")
    if chosen.rescored:
        recall = known.RECALL
        notes.append(f"two stages find {recall.value:.0%} {recall.unit} of exact search ({recall.kind}: {recall.source})")
    if chosen.machines > 1:
        notes.append("keep the PDFs in an object store (--blobs s3://...), the index on Qdrant servers (--index http://...)")
        numbers = model.numbers if model else 0
        sending_h = pages * (1 / known.SEND_TEXT.value + numbers / known.SEND_VISUAL.value) / 3600
        notes.append(f"the workers send all pages to the servers in {sending_h:,.0f} core hours, beside reading and embedding")
        notes.append(f"machines are as assumed below; {chosen.copies} copies are counted in them, not in disk and memory above")
    if chosen.bound == "cores" and chosen.machines > 1:
        notes.append("every search looks at every page: what sets the number of machines is the time of a scan, not memory")
    if chosen.machines == 1 and not chosen.fits_here:
        notes.append("it does not fit this machine's free disk or memory")
    return tuple(notes)


def _figures(model: Model | None, ingest: IngestTime, options: Sequence[Option], own: Sizes) -> tuple[Figure, ...]:
    figures = [own.text, own.pdf, *known.TEXT_FIGURES]
    if model is not None:
        figures += [model.family.vectors, model.family.pooled, *known.VISUAL_FIGURES]
        figures += known.GPU_FIGURES if ingest.gpus else known.CPU_FIGURES
    if any(not option.embedded for option in options):
        figures += known.CLUSTER_FIGURES
    return tuple(figures)


def _allocated(paths: Iterable[Path]) -> int:
    """Bytes on the disk: files with holes count what they hold."""
    return sum(512 * path.stat().st_blocks for path in paths if path.is_file())
