"""CSV for spreadsheets and pandas, in which spreadsheets read no text as a formula."""

import csv
from collections.abc import Iterable
from types import SimpleNamespace

# Spreadsheets read a text that begins with one of these as a formula.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Iterable[Iterable]) -> str:
    """Return rows of cells as CSV with line feeds; None is an empty cell."""
    records: list[str] = []
    # The writer quotes characters of its own line terminator, and readers also end a line at a lone carriage
    # return, so it writes \r\n here.
    csv.writer(SimpleNamespace(write=records.append), lineterminator="\r\n").writerows(rows)
    return "".join(f"{record[:-2]}\n" for record in records)


def escape_formula(text: str) -> str:
    """Return a text, with an apostrophe before it if a spreadsheet would read it as a formula."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text


def whole_records(text: str) -> str:
    """Return CSV up to the end of its last complete record, without a truncated line after it. A line feed
    within quotation marks does not end a record."""
    end = text.rfind("\n") + 1
    quotes = text.count('"', 0, end)
    while quotes % 2:
        before = text.rfind("\n", 0, end - 1) + 1
        quotes -= text.count('"', before, end)
        end = before
    return text[:end]
