"""How much of a text layer is embedded: the tokens of all passages against those of PyMuPDF's plain text of the same pages.

    python -m bench.text_tokens DATA --index I

Tokens are MiniLM's. Both sides are normalised alike: NFKC (ligatures taken apart), soft hyphens out, a hyphen before lower-case
letters dropped with the white space after it (words broken at a line's end are put together at ingest), and leaders (rows of
dots that lead the eye to a page number) cut to three dots as ingest does; how many dots that were is said. A token counts as
embedded where a passage of its page holds it, as often as it does (the heading that is embedded with a passage is not counted).
Prints one JSON object.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common import benchmark_data, documents_of, parser

if TYPE_CHECKING:
    from docrag.client import Library
    from docrag.types import PageContent

_HYPHEN = re.compile(r"(?<=\w)[-\u2010\u2011]\s*(?=[a-z])")
_LEADER = re.compile(r"\.(?:\s?\.){3,}")
_BLANK = {0xAD: None, 0x200B: None, 0xFEFF: None}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--index", required=True)
    arguments = made.parse_args()
    with benchmark_data(arguments.data) as data:
        print(json.dumps(compare(documents_of(data, arguments.documents), arguments.index)))


def text_layer_documents(paths: Sequence[Path]) -> list[Path]:
    """Those of which half of the pages or more have text in their layer."""
    found: list[Path] = []
    for path in paths:
        texts = layer_texts(path)
        if 2 * sum(bool(text.strip()) for text in texts) >= len(texts) > 0:
            found.append(path)
    return found


def layer_texts(path: Path) -> list[str]:
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    with pymupdf.open(path) as document:
        return [page.get_text() for page in document]


def compare(paths: Sequence[Path], index: str) -> dict[str, float]:
    """Token counts over all pages of `paths`, which are in the index under these names."""
    from docrag.client import Library
    from docrag.index.encoders import load_tokenizer

    tokenizer = load_tokenizer()

    def tokens(text: str) -> Counter[int]:
        return Counter(tokenizer.encode(_normalised(text), add_special_tokens=False).ids)

    in_text = embedded = passage_tokens = unread_pages = unread_tokens = leader_dots = pages = 0
    with Library(index) as library:
        for path in paths:
            contents = _contents(library, path)
            for number, text in enumerate(layer_texts(path)):
                wanted = tokens(text)
                page = contents.get(number)
                got = tokens(" ".join(page.passage_text(region) for region in page.passages)) if page else Counter[int]()
                pages += 1
                leader_dots += sum(run[0].count(".") - 3 for run in _LEADER.finditer(text))
                in_text += wanted.total()
                passage_tokens += got.total()
                embedded += (wanted & got).total()
                if wanted and (page is None or page.text_source != "layer"):
                    unread_pages += 1
                    unread_tokens += wanted.total()
    return {
        "pages": pages,
        "text_tokens": in_text,
        "passage_tokens": passage_tokens,
        "embedded_tokens": embedded,
        "leader_dots": leader_dots,
        "share": embedded / in_text if in_text else 0.0,
        "rejected_pages": unread_pages,
        "rejected_tokens": unread_tokens,
        "share_of_accepted": embedded / (in_text - unread_tokens) if in_text > unread_tokens else 0.0,
    }


def _contents(library: Library, path: Path) -> dict[int, PageContent]:
    """The pages of a document that were read, by their index."""
    from docrag.types import page_point_id

    (sha256,) = library.index.resolve_documents([str(path)])
    record = library.index.document(sha256)
    ids = [page_point_id(sha256, number) for number in range(record.document.pages if record else 0)]
    return {content.page.page_index: content for content in library.index.page_contents(ids)}


def _normalised(text: str) -> str:
    return _HYPHEN.sub("", _LEADER.sub("...", unicodedata.normalize("NFKC", text).translate(_BLANK)))


if __name__ == "__main__":
    main()
