"""To be imported before PyMuPDF: without the models of its layout analysis, which take each process 1.7 s of CPU."""

from docrag.ingest.guard_child import only_what_is_needed

with only_what_is_needed():
    import pymupdf  # noqa: F401
