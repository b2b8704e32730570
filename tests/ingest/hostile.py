"""Makers of PDFs that go wrong in every way that is known, and of plain ones to set beside them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import pymupdf

PLAIN = "The company reported higher revenue in the third quarter of the year, and expects the same for the next one. "
# What a font without its map makes of it: every character stands 29 places before the one that the page shows.
GARBLED = "".join(character if character == " " else chr(ord(character) - 29) for character in PLAIN)


HELLO = b"BT /F1 12 Tf 72 72 Td (hello there) Tj ET"
FONT = "/Resources<</Font<</F1 3 0 R>>>>"


def text_pdf(path: Path, pages: Sequence[str], size: tuple[float, float] = (595, 842), rotation: int = 0) -> Path:
    """One page for each text, set in 11 points from the top left."""
    document = pymupdf.open()
    for text in pages:
        page = document.new_page(width=size[0], height=size[1])
        page.insert_textbox((40, 40, size[0] - 40, size[1] - 40), text, fontsize=11)
        page.set_rotation(rotation)
    document.save(path)
    document.close()
    return path


def picture_of(text: str, size_px: tuple[int, int] = (1000, 500), fontsize: float = 28) -> bytes:
    """A PNG with `text` drawn on it: what only OCR can read."""
    document = pymupdf.open()
    page = document.new_page(width=size_px[0], height=size_px[1])
    page.insert_textbox((30, 30, size_px[0] - 30, size_px[1] - 30), text, fontsize=fontsize)
    return page.get_pixmap().tobytes("png")


def scanned_pdf(path: Path, text: str) -> Path:
    """One A5 landscape page that is all picture."""
    document = pymupdf.open()
    page = document.new_page(width=595, height=298)
    page.insert_image(page.rect, stream=picture_of(text))
    document.save(path)
    return path


def encrypted_pdf(path: Path, text: str, password: str) -> Path:
    document = pymupdf.open()
    document.new_page().insert_text((72, 72), text)
    document.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=password, owner_pw=password + "-owner")
    return path


def truncated_pdf(path: Path, pages: int, whole: int, trailer_first: bool) -> Path:
    """A document of `pages` pages cut off inside page `whole` + 1, as an aborted download leaves it.

    `trailer_first`: it was made for the web, so what MuPDF needs for a repair came early.
    """
    raw_pdf(path, ["/MediaBox [0 0 612 792]"] * pages)
    data = path.read_bytes()
    data = data[: data.index(b"%d 0 obj" % (5 + whole)) + 20]
    if trailer_first:
        data = data.replace(b"%PDF-1.7\n", b"%PDF-1.7\ntrailer\n<</Root 1 0 R/Size 99>>\n")
    path.write_bytes(data)
    return path


def raw_pdf(path: Path, page_entries: Sequence[str], content: bytes = HELLO, extra: Sequence[bytes] = ()) -> Path:
    """Pages given by the entries of their dictionaries ("/MediaBox [0 0 0 0]"), all with the same content stream.

    `extra` objects are numbered from 5, and the pages follow.
    """
    packed = zlib.compress(content)
    stream = b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed)
    first = 5 + len(extra)
    kids = " ".join(f"{number} 0 R" for number in range(first, first + len(page_entries)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(page_entries)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        stream,
        *extra,
        *(
            f"<</Type/Page/Parent 2 0 R/Contents 4 0 R{'' if '/Resources' in entries else FONT}{entries}>>".encode()
            for entries in page_entries
        ),
    ]
    path.write_bytes(_file(objects))
    return path


def _file(objects: Sequence[bytes]) -> bytes:
    data, offsets = b"%PDF-1.7\n", list[int]()
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return data + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def no_pages_pdf(path: Path) -> Path:
    return raw_pdf(path, [])


def many_paths_pdf(path: Path, paths: int) -> Path:
    """One page with `paths` short strokes and a line of text."""
    strokes = b"".join(b"%d %d m %d %d l S\n" % (i % 600, i % 800, (i * 7) % 600, (i * 3) % 800) for i in range(paths))
    return raw_pdf(path, ["/MediaBox [0 0 612 792]"], strokes + b"BT /F1 12 Tf 72 72 Td (after all the paths) Tj ET")


def image_bomb_pdf(path: Path, side: int) -> Path:
    """A page that shows a black picture of `side` x `side` pixels, 3 bytes each, packed a thousandfold."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(side * 3)) for _ in range(side)) + packer.flush()
    picture = b"<</Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent 8/ColorSpace/DeviceRGB" % (side, side)
    picture += b"/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(rows), rows)
    entries = "/MediaBox [0 0 600 800]/Resources<</XObject<</Im 5 0 R>>>>"
    return raw_pdf(path, [entries], b"600 0 0 800 0 0 cm /Im Do", extra=[picture])


def broken_page_pdf(path: Path) -> Path:
    """Three pages, the second of which is no page."""
    text_pdf(path, ["first page", "second page", "third page"])
    document = pymupdf.open(path)
    document.xref_set_key(document.page_xref(1), "MediaBox", "(what)")
    document.update_object(document.page_xref(1), "null")
    document.save(path.with_suffix(".tmp"))
    document.close()
    path.with_suffix(".tmp").replace(path)
    return path


def slow_pdf(path: Path) -> Path:
    """Three pages; the second draws a form that draws a form ... ten at each of nine levels: it never ends."""
    text_pdf(path, ["first page", "second page", "third page"])
    document = pymupdf.open(path)
    inner = 0
    for _ in range(9):
        outer = document.get_new_xref()
        resources = f"/Resources<</XObject<</X {inner} 0 R>>>>" if inner else ""
        document.update_object(outer, f"<</Type/XObject/Subtype/Form/BBox[0 0 600 800]{resources}>>")
        document.update_stream(outer, b"/X Do\n" * 10 if inner else b"0 0 m 9 9 l S\n" * 10)
        inner = outer
    page = document[1]
    document.xref_set_key(page.xref, "Resources", f"<</XObject<</X {inner} 0 R>>>>")
    contents = document.get_new_xref()
    document.update_object(contents, "<<>>")
    document.update_stream(contents, b"/X Do\n" * 10)
    document.xref_set_key(page.xref, "Contents", f"{contents} 0 R")
    document.save(path.with_suffix(".tmp"))
    document.close()
    path.with_suffix(".tmp").replace(path)
    return path
