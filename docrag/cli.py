# pyright: basic
# argparse keeps the type of its subparsers private.
"""The command line: arguments in, results on stdout, progress and messages on stderr, exit codes 0, 1 and 2."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn, get_args

import docrag
from docrag.config import Device, Pooling, Quantization
from docrag.errors import DocragError, UsageError
from docrag.output import to_json_text

INTERRUPTED = 130  # what shells give for Ctrl-C
EPILOG = "Settings can also be given as DOCRAG_* variables (DOCRAG_OCR=never). Exit codes: 0 all well, 1 the run finished but \
something failed or damage was found, 2 usage, configuration or environment."


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print and exit, so that `--json` holds for wrong arguments too."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, " ".join(self.format_usage().split()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors of docrag are one message on stderr, never a traceback."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8, nor stdout know every script
    try:
        parsed = make_parser().parse_args(given)
        # Nothing heavy is loaded before the arguments are known to be good.
        return importlib.import_module("docrag.commands").run(parsed)
    except KeyboardInterrupt:
        _show_error("Interrupted", "interrupted", "what was done is kept: run the same command again to go on", given)
        return INTERRUPTED
    except BrokenPipeError:
        _hush_stdout()  # the reader of our output left (`| head`): nothing more to say to anybody
        return 0
    except DocragError as error:
        _show_error(type(error).__name__, error.message, error.hint, given)
    except OSError as error:
        _show_error("EnvironmentFault", str(error), "check paths, permissions and free space", given)
    except Exception as error:  # noqa: BLE001 -- a mistake of docrag's: its traceback is shown, and it is no exit code 1
        traceback.print_exc()
        _show_error(type(error).__name__, f"a mistake in docrag: {error}", "please report it with the lines above", given)
    return 2


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="docrag", description=(docrag.__doc__ or "").splitlines()[0], epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"docrag {docrag.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_ingest(commands)
    _add_search(commands)
    _add_ask(commands)
    _add_library_commands(commands)
    _add_eval(commands)
    _add_score(commands)
    _add_extract(commands)
    _add_report(commands)
    _add_plan(commands)
    _add_doctor(commands)
    return parser


def _command(commands: Any, name: str, summary: str, *, index: bool = True) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object")
    if index:
        parser.add_argument(
            "--index", default="library", metavar="I", help="a folder, or http://host:port/name (default: library)"
        )
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands, "demo", "make a small library, ask it three questions, score a dozen, write report.html", index=False
    )
    parser.add_argument("--out", default="demo-out", metavar="DIR", help="where everything goes (default: demo-out)")


def _add_ingest(commands: Any) -> None:
    parser = _command(commands, "ingest", "bring PDFs into an index")
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="files, folders, globs, URLs, - for a list on stdin; none with --visual"
    )
    parser.add_argument("--ocr", choices=("auto", "never", "always"), help="when to read pages by OCR (default: auto)")
    parser.add_argument("--lang", metavar="L", help="Tesseract's language, as in eng or deu+eng (default: eng)")
    parser.add_argument("--password", metavar="P", help="for encrypted PDFs; better given as DOCRAG_PASSWORD")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read PDFs (default: one for each core)")
    parser.add_argument("--prune", action="store_true", help="remove the names of files that are gone")
    parser.add_argument("--checksum", action="store_true", help="read files again even where size and time are unchanged")
    parser.add_argument("--blobs", metavar="URL", help="where the PDFs are kept, for an index on a server")
    parser.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS", help="on a Ray cluster: auto, host:port, or none to start one here"
    )
    parser.add_argument(
        "--progress",
        choices=("bar", "json"),
        default="bar",
        help="on stderr: a bar (where that is no terminal, lines), or a JSON object a second (default: bar)",
    )
    _add_visual(parser, "embed page images too, by this late-interaction model: a hub id or a folder; none: leave that lane")
    parser.add_argument("--pooling", choices=get_args(Pooling), help="how visual vectors are pooled for the first stage")
    parser.add_argument(
        "--quantization", choices=get_args(Quantization), help="how visual vectors are kept for a quick look (default: none)"
    )


def _add_visual(parser: argparse.ArgumentParser, summary: str) -> None:
    parser.add_argument("--visual", metavar="MODEL", help=summary)
    parser.add_argument("--device", choices=get_args(Device), help="where that model runs (default: a GPU where there is one)")


_OWN_MODEL = "where the visual lane's model lies now, if elsewhere than at ingest; none: go without that lane"


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument(
        "--doc", action="append", default=[], metavar="NAME", help="only this document; a name, its end, or a glob"
    )
    parser.add_argument("-k", type=int, metavar="N", help="pages to find (default: 5); a model reads as many as --budget holds")
    _add_visual(parser, _OWN_MODEL)


def _add_search(commands: Any) -> None:
    parser = _command(commands, "search", "find the pages that may hold an answer")
    _add_question(parser)
    parser.add_argument("--explain", action="store_true", help="show what each lane was asked, and its share in each score")


def _add_ask(commands: Any) -> None:
    parser = _command(commands, "ask", "answer a question, with page and words, or refuse it")
    _add_question(parser)
    _add_reader(parser)


def _add_reader(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reader",
        metavar="R",
        help="who reads the pages: quote (the default), openai:MODEL, anthropic:MODEL, ... or hf:FOLDER",
    )
    parser.add_argument("--base-url", metavar="U", help="an OpenAI-compatible server's address, for --reader openai:MODEL")
    parser.add_argument("--budget", metavar="TOKENS", help="how much a reader gets to read, as 8000 or 8k (default: 32k)")
    parser.add_argument(
        "--navigate", action="store_const", const=True, help="let the reader pick pages from a list of all, too"
    )
    parser.add_argument("--samples", type=int, metavar="N", help="read so often, and compare the answers (default: 1)")
    parser.add_argument("--cache", metavar="FILE", help="keep what models answer, and don't pay for the same twice")
    parser.add_argument("--password", metavar="P", help="to draw pages of encrypted PDFs; better given as DOCRAG_PASSWORD")


def _add_library_commands(commands: Any) -> None:
    _command(commands, "list", "list the documents of an index")
    show = _command(commands, "show", "show what is on record of a document, or one of its pages")
    show.add_argument("document", metavar="DOC")
    show.add_argument("--page", type=int, metavar="N", help="one page, counted from 1")
    show.add_argument("--out", metavar="FILE.png", help="draw the page to this file")
    show.add_argument("--question", metavar="Q", help="with --out: mark on the page what the visual lane sees of Q")
    show.add_argument("--by-word", action="store_true", help="with --question: a sheet with a picture for each word")
    show.add_argument("--password", metavar="P", help="to draw pages of an encrypted PDF; better given as DOCRAG_PASSWORD")
    _add_visual(show, _OWN_MODEL)
    delete = _command(commands, "delete", "delete documents from an index, or its visual lane; the files themselves stay")
    delete.add_argument("documents", nargs="*", metavar="DOC")
    delete.add_argument("--visual", action="store_true", help="delete the visual lane of the whole index")
    verify = _command(commands, "verify", "check records against pages against stored PDFs")
    verify.add_argument("--repair", action="store_true", help="remove what can't be trusted, and say what to ingest again")


def _add_eval(commands: Any) -> None:
    parser = _command(commands, "eval", "run a benchmark's questions and score the answers")
    parser.add_argument(
        "benchmark",
        choices=("mmlongbench-doc", "questions", "needles"),
        help="the published one, a file of your own questions, or sentences of the library's pages among other pages",
    )
    parser.add_argument("--data", metavar="DIR_OR_FILE", help="the benchmark's folder or file (not for needles)")
    _add_reader(parser)
    parser.add_argument("--scope", choices=("document", "library"), help="what is ranked (default: document)")
    parser.add_argument("--retrieval-only", action="store_true", help="rank pages, ask nobody")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N questions")
    parser.add_argument("--lengths", default="8k,32k", metavar="L,L", help="for needles: tokens to read (default: 8k,32k)")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="for needles: how many a length (default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="for needles: which are drawn (default: 0)")
    parser.add_argument(
        "--concurrency", type=int, default=0, metavar="N", help="questions in flight (default: 4 where a server reads, else 1)"
    )
    _add_visual(parser, _OWN_MODEL)
    parser.add_argument("--out", default="run", metavar="RUN_DIR", help="the run's folder (default: run)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN_DIR")


def _add_score(commands: Any) -> None:
    parser = _command(commands, "score", "score predictions made by anything", index=False)
    parser.add_argument("predictions", metavar="PREDICTIONS.jsonl")
    parser.add_argument("--questions", metavar="GOLD", help="the benchmark's questions: what is missing counts as wrong")


def _add_extract(commands: Any) -> None:
    parser = _command(commands, "extract", "take the short answers out of free-form responses", index=False)
    parser.add_argument("responses", metavar="RESPONSES.jsonl", help="a question and its response a line")
    parser.add_argument("--extractor", default="rules", metavar="E", help="rules (the default), or a model as openai:MODEL")
    parser.add_argument("--out", metavar="PREDICTIONS.jsonl", help="where the lines go, with their predictions")
    parser.add_argument("--compare", metavar="E", help="write nothing; tell how far another extractor agrees")
    parser.add_argument("--base-url", metavar="U", help="an OpenAI-compatible server's address, for openai:MODEL")
    parser.add_argument("--cache", metavar="FILE", help="keep what models answer, and don't pay for the same twice")
    parser.add_argument(
        "--concurrency", type=int, default=1, metavar="N", help="responses in flight, 0 as for eval (default: 1)"
    )


def _add_report(commands: Any) -> None:
    parser = _command(commands, "report", "write the figures of runs as one page to look at", index=False)
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="with several, the others are compared with the first")
    parser.add_argument("--out", metavar="DIR", help="where it goes (default: report in the first run's folder)")
    parser.add_argument("--index", metavar="I", help="the library to draw pages from (default: the run's own)")
    parser.add_argument("--no-pictures", action="store_true", help="leave the pictures of pages out")
    parser.add_argument("--password", metavar="P", help="to draw pages of encrypted PDFs; better given as DOCRAG_PASSWORD")


def _add_plan(commands: Any) -> None:
    parser = _command(commands, "plan", "tell what a library of so many pages takes, and which storage to choose", index=False)
    parser.add_argument("--pages", required=True, metavar="N", help="as 10000, 10_000, 1,000,000, 1e6 or 1M")
    parser.add_argument("--visual", metavar="MODEL", help="plan for the visual lane of this model as well; it is not loaded")
    parser.add_argument("--gpus", type=int, metavar="G", help="GPUs that embed page images (default: enough for a week)")
    parser.add_argument("--cpus", type=int, metavar="C", help="cores that read and embed text (default: this machine's)")
    parser.add_argument("--index", metavar="I", help="a folder: plan with its own bytes a page, and its model")


def _add_doctor(commands: Any) -> None:
    parser = _command(commands, "doctor", "look for what is wrong with this machine or an index", index=False)
    parser.add_argument("--index", metavar="I", help="look at this index too, and test that its vectors still come out")
    parser.add_argument("--password", metavar="P", help="to draw pages of encrypted PDFs; better given as DOCRAG_PASSWORD")


def _show_warning(message: Warning | str, *_: object) -> None:
    sys.stderr.write(f"docrag: {message}\n")


def _show_error(kind: str, message: str, hint: str, given: Sequence[str]) -> None:
    sys.stderr.write(f"docrag: {message}\n" + (f"  {hint}\n" if hint else ""))
    if "--json" in given:
        sys.stdout.write(to_json_text({"error": kind, "message": message, "hint": hint}) + "\n")


def _hush_stdout() -> None:
    # Python flushes stdout once more at its end, and would complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
