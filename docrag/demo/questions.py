"""The demo's questions, in the form of MMLongBench-Doc. They were written before any reader was tuned, and stay as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from docrag.demo.names import ANNUAL_REPORT, DECK, DOC_TYPES, MEMO
from docrag.types import NOT_ANSWERABLE

TEXT = "Pure-text (Plain-text)"
LAYOUT = "Generalized-text (Layout)"


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question on one document. `pages` are the evidence pages, 1-based as in the PDF; none where nothing answers it."""

    document: str
    question: str
    answer: str
    pages: tuple[int, ...]
    sources: tuple[str, ...]
    answer_format: str

    def to_json(self) -> dict[str, str]:
        """An entry of samples.json: lists are text there, as the benchmark has them."""
        return {
            "doc_id": self.document,
            "doc_type": DOC_TYPES[self.document],
            "question": self.question,
            "answer": self.answer,
            "evidence_pages": str(list(self.pages)),
            "evidence_sources": str(list(self.sources)),
            "answer_format": self.answer_format,
        }


FOUNDRY = DemoQuestion(ANNUAL_REPORT, "Where did Nettlefoss open its new foundry in 2025?", "Marrowby", (5,), (TEXT,), "Str")
PAY = DemoQuestion(ANNUAL_REPORT, "What was the chief executive of Nettlefoss paid in 2025?", NOT_ANSWERABLE, (), (), "None")

PROFIT = DemoQuestion(
    ANNUAL_REPORT,
    "What was the operating profit of the Town Water segment in 2025, in millions of dollars?",
    "27.9",
    (8,),
    ("Table",),
    "Float",
)

# A sentence, a cell of a table, and a refusal: what the `quote` reader can do. The other eleven show what it can't.
SHOWCASE = (FOUNDRY, PROFIT, PAY)

QUESTIONS = (
    FOUNDRY,
    PROFIT,
    DemoQuestion(
        ANNUAL_REPORT, "How many of the risks listed in Table 8 have become higher since 2024?", "3", (15,), ("Table",), "Int"
    ),
    DemoQuestion(
        ANNUAL_REPORT,
        "According to Figure 5, how many thousand tonnes of greenhouse gas did Nettlefoss emit in 2023?",
        "36.9",
        (16,),
        ("Chart",),
        "Float",
    ),
    DemoQuestion(
        ANNUAL_REPORT,
        "Which members of the board sit on the audit committee?",
        "['Ruth Calloway', 'Stefan Brandvold', 'Desmond Okpara']",
        (17,),
        ("Table",),
        "List",
    ),
    DemoQuestion(
        ANNUAL_REPORT,
        "What percentage of its revenue did Nettlefoss spend on property, plant and equipment in 2025?",
        "5.5%",
        (12, 14),
        ("Table",),
        "Float",
    ),
    DemoQuestion(
        ANNUAL_REPORT,
        "Who leads the segment whose revenue grew the most, in percent, in 2025?",
        "Owen Tessaly",
        (8, 10),
        ("Table", TEXT),
        "Str",
    ),
    DemoQuestion(
        DECK,
        "How many weeks pass between the end of the field trial and the first deliveries of the Kestrel 4?",
        "12",
        (6, 8),
        (TEXT, LAYOUT),
        "Int",
    ),
    DemoQuestion(
        DECK,
        "According to the chart, how many kWh does the Kestrel 4 need to lift one cubic metre of water by 40 m?",
        "0.17",
        (5,),
        ("Chart",),
        "Float",
    ),
    DemoQuestion(
        DECK, "How long is the warranty on the motor of the Kestrel 4, according to slide 4?", "6 years", (4,), (LAYOUT,), "Str"
    ),
    DemoQuestion(
        MEMO, "How many seals of lot 7714 are in pumps that have already been shipped to dealers?", "212", (1,), (TEXT,), "Int"
    ),
    PAY,
    DemoQuestion(DECK, "How loud is the Kestrel 4, in decibels?", NOT_ANSWERABLE, (), (), "None"),
    DemoQuestion(ANNUAL_REPORT, "How many people worked for Nettlefoss at the end of 2019?", NOT_ANSWERABLE, (), (), "None"),
)


def write_questions(folder: Path) -> Path:
    """Write samples.json beside the folder `documents`; returns its path. Raises OSError where it can't be written."""
    path = folder / "samples.json"
    text = json.dumps([question.to_json() for question in QUESTIONS], indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path
