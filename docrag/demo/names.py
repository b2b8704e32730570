"""The file names of the demo's three documents, and what kind of document each is to the benchmark."""

from __future__ import annotations

ANNUAL_REPORT = "nettlefoss-annual-report-2025.pdf"
DECK = "kestrel-4-dealer-briefing.pdf"
MEMO = "memo-shaft-seals-scan.pdf"

DOC_TYPES = {
    ANNUAL_REPORT: "Financial report",
    DECK: "Tutorial/Workshop",
    MEMO: "Administration/Industry file",
}
