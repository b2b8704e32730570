"""What a report says of its runs in sentences: what was run, on what, and what to know before reading on."""

from __future__ import annotations

from collections.abc import Sequence

from docrag.eval.report.runs import CHARTED_RUNS, Run
from docrag.eval.summary_text import failures_text

_BENCHMARKS = {"mmlongbench-doc": "MMLongBench-Doc", "questions": "Questions of one's own", "needles": "Page needles"}


def title_of(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return f"{runs[0].name} against {' and '.join(run.name for run in runs[1:])}"
    benchmark = str(runs[0].record.config.get("benchmark") or "mmlongbench-doc")
    return f"{_BENCHMARKS.get(benchmark, benchmark)}: {runs[0].name}"


def sentences_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """What each run was, with its name where there are several."""
    return tuple(_sentence(run) if len(runs) == 1 else f"{run.name}: {_sentence(run)}" for run in runs)


def notes_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """What would mislead whoever does not know it."""
    notes = [
        f"{run.name} is not finished: {len(run.record.predictions):,} of {len(run.record.questions):,} questions are asked. "
        "The others count as wrong here."
        for run in runs
        if not run.record.finished
    ]
    failed = [(run.name, told) for run in runs if (told := failures_text(run.analysis))]
    notes += [told if len(runs) == 1 else f"{name}: {told}" for name, told in failed]
    if len(runs) > CHARTED_RUNS:
        notes.append(f"Charts show {runs[0].name} alone; the tables have every run, and each is compared with the first.")
    return tuple(notes)


def _sentence(run: Run) -> str:
    config = run.record.config
    documents = len({question.doc_id for question in run.record.questions} - {""})
    asked = f"{len(run.record.questions):,} questions" + (f" about {documents:,} documents" if documents else "")
    reader = config.get("settings", {}).get("reader")
    answered = "Nothing was answered" if config.get("retrieval_only") else f"Answered by {reader}"
    where = "the whole library" if config.get("scope") == "library" else "its own document"
    searched = f"pages searched for each question in {where}" if run.searched else "nothing was searched"
    return f"{asked}. {answered}; {searched}. {_version(run)}."


def _version(run: Run) -> str:
    config = run.record.config
    version, commit, later = f"docrag {config.get('docrag', '')}", config.get("git_commit"), config.get("later_git_commits", [])
    if not isinstance(commit, str):
        return version
    return ", then ".join([f"{version}, commit {_commit(commit)}", *map(_commit, later)])


def _commit(commit: str | None) -> str:
    if commit is None:
        return "an installed package"
    return commit[:10] + (" with changes" if commit.endswith("-dirty") else "")
