"""PDFs of a kilobyte, made in microseconds, each another document: what is measured with them is all but their reading."""

from __future__ import annotations

import random
from pathlib import Path

_WORDS = (
    "revenue",
    "quarter",
    "report",
    "margin",
    "table",
    "figure",
    "region",
    "energy",
    "water",
    "forest",
    "harbour",
    "letter",
)
_FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"


def write_pdfs(folder: Path, numbers: range, pages: int, words: int = 30) -> None:
    """`NUMBER.pdf` for each of `numbers`, of so many pages with so many words each; the same for the same number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:06}.pdf").write_bytes(tiny_pdf(number, pages, words))


def tiny_pdf(number: int, pages: int, words: int) -> bytes:
    """A PDF whose pages say which they are, then words drawn by `number`."""
    dice = random.Random(number)
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(pages))
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {pages}>>".encode(), _FONT]
    for page in range(pages):
        objects += _page(5 + 2 * page, f"Document {number} page {page + 1}:", dice.choices(_WORDS, k=words))
    return _file(objects)


def _page(contents: int, heading: str, words: list[str]) -> list[bytes]:
    lines = [heading, *(" ".join(words[at : at + 10]) for at in range(0, len(words), 10))]
    shown = "BT /F1 12 Tf 14 TL 60 780 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
    resources = "/Resources<</Font<</F1 3 0 R>>>>"
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]{resources}/Contents {contents} 0 R>>"
    return [page.encode(), b"<</Length %d>>stream\n%s\nendstream" % (len(shown), shown.encode())]


def _file(objects: list[bytes]) -> bytes:
    data, offsets = bytearray(b"%PDF-1.7\n"), list[int]()
    for at, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (at, body)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(data) + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
