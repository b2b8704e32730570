"""`write_run_report`: the bridge between runs, which know no library, and the library that draws their pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from docrag.client import Library
from docrag.errors import DocragError, EnvironmentFault, UsageError
from docrag.eval.benchmarks import BENCHMARKS
from docrag.eval.record import RunRecord, read_run
from docrag.eval.report.compose import Report, compose
from docrag.eval.report.pictures import Pictures, pages_to_draw
from docrag.eval.report.rows import QuestionRow, question_rows
from docrag.eval.report.runs import open_runs
from docrag.eval.report.view import Opening
from docrag.pictures import draw_pages

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where everything is, and why there are no page pictures: "" where there are, or none were wanted."""

    html: Path
    summary: Path
    charts: tuple[Path, ...]
    without_pictures: str


def write_run_report(
    run_dirs: Sequence[Path],
    out: Path | None = None,
    *,
    index: str | None = None,
    pictures: bool = True,
    password: str | None = None,
    progress: Progress | None = None,
) -> WrittenReport:
    """Write report.html, summary.md and charts/*.png of one or more runs to `out`, or to report/ in the first run's folder.

    With several runs the others are compared with the first. `index` stands in for the one that their configuration names; one
    that can't be opened costs the pictures, not the report. `password` opens encrypted PDFs; `progress` gets (done, total) as
    pages are drawn. Raises UsageError where a folder holds no run that can be read, EnvironmentFault where `out` is not to be
    written to.
    """
    if not run_dirs:
        raise UsageError("no run is named", "name the folders that `docrag eval --out` made")
    records = [read_run(Path(folder)) for folder in run_dirs]
    runs = open_runs(records)
    rows = question_rows(runs)
    drawn = _draw(records, rows, index, password, progress) if pictures else Pictures(note="they were left out on request")
    return _write(compose(runs, rows, drawn), out or records[0].folder / "report", drawn.note)


def write_library_report(library: Library, run_dir: Path, out: Path, opening: Opening) -> WrittenReport:
    """The report of one run with a first screen of its own, the pages drawn from a library that is open already."""
    record = read_run(run_dir)
    runs = open_runs([record])
    rows = question_rows(runs)
    pictures = draw_pages(library, pages_to_draw(rows), places_of([record]))
    return _write(compose(runs, rows, pictures, opening), out, pictures.note)


def _write(report: Report, out: Path, without_pictures: str) -> WrittenReport:
    charts = out / "charts"
    try:
        charts.mkdir(parents=True, exist_ok=True)
        for name, chart in report.charts.items():
            _write_whole(charts / f"{name}.png", chart.png())
        _write_whole(out / "summary.md", report.summary.encode("utf-8", "replace"))
        _write_whole(out / "report.html", report.html.encode("utf-8", "replace"))
    except OSError as error:
        message = f"can't write the report to {out}: {error.strerror or error}"
        raise EnvironmentFault(message, "name another folder by --out") from error
    written = tuple(charts / f"{name}.png" for name in report.charts)
    return WrittenReport(out / "report.html", out / "summary.md", written, without_pictures)


def _draw(
    records: Sequence[RunRecord],
    rows: Sequence[QuestionRow],
    index: str | None,
    password: str | None,
    progress: Progress | None,
) -> Pictures:
    """The pages of all runs from one index; without one, why there is none."""
    location = index or next((found for record in records if isinstance(found := record.config.get("index"), str)), None)
    if location is None:
        return Pictures(note="the runs don't say which index they searched; name it with --index")
    try:
        with Library(location) as library:
            return draw_pages(library, pages_to_draw(rows), places_of(records), password, progress)
    except DocragError as error:
        return Pictures(note=error.message)


def places_of(records: Sequence[RunRecord]) -> dict[str, Path]:
    """Where the data of the runs says that the PDF of each doc_id lies; what it doesn't say is left out."""
    places: dict[str, Path] = {}
    for record in records:
        data, benchmark = record.config.get("data"), BENCHMARKS.get(record.config.get("benchmark", ""))
        if isinstance(data, str) and benchmark:
            found = {question.doc_id: benchmark.document_path(Path(data), question.doc_id) for question in record.questions}
            places |= {doc_id: place for doc_id, place in found.items() if doc_id and place}
    return places


def _write_whole(path: Path, content: bytes) -> None:
    """Or not at all."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
