"""Financial ratios that no page names, and the statements whose figures they are computed from.

"What is the return on assets?" stands on no page of an annual report: net income is in the income statement, total assets in
the balance sheet. So such a question looks for those statements as well, by the line items that all of them print. This is
plain accounting, as any textbook has it.
"""

from __future__ import annotations

import re

_LINE_ITEMS = {
    "balance sheet": (
        "consolidated balance sheets total current assets total assets accounts payable total current liabilities "
        "total liabilities stockholders shareholders equity"
    ),
    "income statement": (
        "consolidated statements of income operations net sales revenues cost of sales operating income interest expense "
        "income before taxes provision for income taxes net income earnings per share"
    ),
    "cash flow statement": (
        "consolidated statements of cash flows operating activities depreciation and amortization purchases of property "
        "plant and equipment investing activities financing activities net increase in cash"
    ),
}
_DAYS = r"days? (?:\w+ ){1,2}outstanding|d[ips]o|cash conversion"
_RETURNS = r"returns? on|ro(?:a|e(?! v)|i|ce|ic)"
# Words with other meanings (staff turnover, page margins, to leverage, a storm's coverage) count by their neighbours.
_RATIO = re.compile(
    rf"\b(?:{_DAYS}|{_RETURNS}|ratios?|ebitda?|gearing|working capital|free cash flow|tax rate|capex|capital expenditures?"
    r"|(?:assets?|capital|equity|inventory|payables?|receivables?|stock) turnover"
    r"|(?:gross|net|operating|profit) (?:\w+ )?margins?"
    r"|(?:debt|dividend|interest) (?:service )?coverage|financial leverage|dividend payout)\b",
    re.IGNORECASE,
)
_NEEDED_FOR = {
    "balance sheet": (
        rf"{_DAYS}|{_RETURNS}|turnover|assets?|liabilit(?:y|ies)|equity|debt|leverage|gearing|working capital|liquidity"
        r"|inventory|(?:cash|current|operating cash flow|quick) ratio|cash balance|receivables?|payables?"
    ),
    "income statement": (
        rf"{_DAYS}|{_RETURNS}|turnover|margins?|ebitda?|profit|income|earnings|revenues?|sales|expenses?|costs?|coverage|tax|payout"
        r"|r&d"
    ),
    "cash flow statement": r"cash flows?|ebitda|capex|capital expenditures?|depreciation|amortization|payout|dividends?",
}


def needed_statements(question: str) -> tuple[str, ...]:
    """The statements that a question's ratio is computed from, e.g. ("balance sheet", "income statement"); mostly none."""
    if not _RATIO.search(question):
        return ()
    return tuple(name for name, words in _NEEDED_FOR.items() if re.search(rf"\b(?:{words})\b", question, re.IGNORECASE))


def statement_queries(question: str) -> tuple[str, ...]:
    """What to ask the `bm25` lane for beside the question itself: one text for each statement that it needs.

    Their results go into `fuse` as the lane "statements", put together by `best_of`.
    """
    return tuple(_LINE_ITEMS[name] for name in needed_statements(question))
