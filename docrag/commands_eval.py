"""What the commands of the evaluator do: run a benchmark, score predictions, extract answers, write a report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from docrag.command_parts import Result, bar, password, reader_settings, visual_settings
from docrag.errors import UsageError

NEEDLES = "needles"
RULES = "rules"


def run_eval(arguments: argparse.Namespace) -> Result:
    if arguments.benchmark == NEEDLES:
        return _run_needles(arguments)
    from docrag.benchmark import BenchmarkOptions, evaluate
    from docrag.client import Library
    from docrag.eval.benchmarks import get_benchmark
    from docrag.eval.predictions import read_predictions

    if arguments.data is None:
        raise UsageError(f"{arguments.benchmark} needs its questions", "name their file or folder with --data")
    options = BenchmarkOptions(
        scope=arguments.scope or "document",
        retrieval_only=arguments.retrieval_only,
        limit=arguments.limit,
        resume=arguments.resume,
        password=password(arguments),
        concurrency=arguments.concurrency,
    )
    run_dir, benchmark = Path(arguments.out), get_benchmark(arguments.benchmark)
    with (
        Library(arguments.index, **reader_settings(arguments), **visual_settings(arguments)) as library,
        bar("questions") as progress,
    ):
        summary = evaluate(library, Path(arguments.data), run_dir, options, progress, benchmark)
    text = f"{summary.to_markdown()}\n{run_dir / 'summary.md'}\nas a page to look at: docrag report {run_dir}"
    return summary.to_json(), text, _exit_code(failed="failed" in {p.outcome for p in read_predictions(_predictions(run_dir))})


def _run_needles(arguments: argparse.Namespace) -> Result:
    from docrag.client import Library
    from docrag.eval.needles import NeedlePlan
    from docrag.eval.predictions import read_predictions
    from docrag.needles import NeedleOptions, run_needles

    _refuse_for_needles(arguments)
    plan = NeedlePlan(_lengths(arguments.lengths), arguments.count, arguments.seed)
    options = NeedleOptions(plan, arguments.resume, password(arguments), arguments.concurrency)
    run_dir = Path(arguments.out)
    with Library(arguments.index, **reader_settings(arguments)) as library, bar("needles") as progress:
        result = run_needles(library, options, run_dir, progress)
    failed = "failed" in {prediction.outcome for prediction in read_predictions(_predictions(run_dir))}
    return result.to_json(), f"{result.to_text()}\n{run_dir}", _exit_code(failed=failed)


def _refuse_for_needles(arguments: argparse.Namespace) -> None:
    """What would be passed over in silence: needles are drawn from the library itself, and nothing is searched."""
    named = [name for name in ("data", "scope", "retrieval_only", "limit") if getattr(arguments, name) not in (None, False)]
    if named:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in named)
        raise UsageError(f"eval needles takes no {flags}", "--lengths, --count and --seed say what is asked")


def _lengths(text: str) -> tuple[int, ...]:
    from docrag.pipelines.tokens import parse_budget

    try:
        return tuple(map(parse_budget, text.split(",")))
    except UsageError:
        raise UsageError(f"--lengths are numbers of tokens such as 8192, or 8k, with commas between, got {text!r}") from None


def run_score(arguments: argparse.Namespace) -> Result:
    from docrag.eval.benchmarks import load_questions
    from docrag.eval.score_report import report_scores, score_json, score_text

    if arguments.questions == "":
        raise UsageError("--questions names nothing", "name the file or folder of the questions, or leave --questions out")
    gold = load_questions(Path(arguments.questions)) if arguments.questions else None
    report = report_scores(Path(arguments.predictions), gold)
    return score_json(report), score_text(report), 0


def run_extract(arguments: argparse.Namespace) -> Result:
    from docrag.eval.extract.agreement import agreement
    from docrag.eval.extract.files import extract_file
    from docrag.eval.extract.opening import open_extractor
    from docrag.pipelines.protocols import ReaderSettings

    settings = ReaderSettings(base_url=arguments.base_url or "", cache=arguments.cache or "")
    path, extractor = Path(arguments.responses), open_extractor(arguments.extractor, settings)
    if arguments.compare is not None:
        workers = _in_flight((arguments.extractor, arguments.compare), arguments.concurrency)
        found = agreement(path, extractor, open_extractor(arguments.compare, settings), workers)
        return found.to_json(), found.to_text(), 0
    if arguments.out is None:
        raise UsageError("no place for the answers is named", "name a file with --out, or another extractor with --compare")
    workers = _in_flight((arguments.extractor,), arguments.concurrency)
    with bar("responses") as progress:
        done = extract_file(path, Path(arguments.out), extractor, workers, progress)
    return done.to_json(), done.to_text(), _exit_code(failed=not done.complete)


def _in_flight(extractors: Sequence[str], asked: int) -> int:
    """As for `eval`, 0 is several where a server answers them, else one; rules go along with whatever the models take."""
    models = [extractor for extractor in extractors if extractor != RULES]
    if not models:
        return asked or 1
    from docrag.benchmark import choose_concurrency

    return min(choose_concurrency(model, asked) for model in models)


def run_report(arguments: argparse.Namespace) -> Result:
    from docrag.report import write_run_report

    with bar("pages") as progress:
        written = write_run_report(
            [Path(run) for run in arguments.runs],
            Path(arguments.out) if arguments.out else None,
            index=arguments.index,
            pictures=not arguments.no_pictures,
            password=password(arguments),
            progress=progress,
        )
    if written.without_pictures and not arguments.no_pictures:
        sys.stderr.write(f"docrag: the report has no pictures of pages: {written.without_pictures}\n")
    result = {
        "report": str(written.html),
        "summary": str(written.summary),
        "charts": [str(chart) for chart in written.charts],
        "without_pictures": written.without_pictures,
    }
    return result, str(written.html), 0


def _predictions(run_dir: Path) -> Path:
    return run_dir / "predictions.jsonl"


def _exit_code(*, failed: bool) -> int:
    return 1 if failed else 0
