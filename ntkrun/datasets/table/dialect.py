"""Guess how a table is written: separator, decimal sign, and whether its first line names the columns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

# of the first lines, the number that the guesses look at
LINES = 100
# in this order if several fit: a comma may be a decimal sign, a space may stand in words
SEPARATORS = (";", "\t", "|", ",", " ")
# fields that stand for a missing value, beside the words that pandas knows
MISSING = ("", "?", "na", "n/a", "nan", "null", "none", "-", ".", "<null>", "<na>")
COMMA, POINT = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?"), re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")


def fields(lines: Sequence[str], separator: str, quote: str = '"') -> list[list[str]]:
    """Return the fields of each line that is not blank."""
    kept = [line for line in lines if line.strip()]
    if separator == " ":
        return [line.split() for line in kept]
    rows = csv.reader(kept, delimiter=separator, quotechar=quote, skipinitialspace=True)
    return [[field.strip() for field in row] for row in rows]


def separator_of(lines: Sequence[str]) -> str:
    """Return the separator that cuts most of the lines, and the first of them, into as many fields."""
    best, share = ",", 0.0
    for separator in SEPARATORS:
        try:
            widths = [len(row) for row in fields(lines[:LINES], separator)]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        width, count = Counter(widths).most_common(1)[0]
        # words with spaces are common, so a space needs every line
        fits = count / len(widths) if separator != " " else float(count == len(widths))
        if width > 1 and fits > share:
            best, share = separator, fits
    return best


def decimal_of(rows: Sequence[Sequence[str]], separator: str) -> str:
    """Return the decimal sign: a comma if no number has a point and some have a comma."""
    if separator == ",":
        return "."
    found = [field for row in rows for field in row]
    commas = any(COMMA.fullmatch(field) for field in found)
    return "," if commas and not any(POINT.fullmatch(field) for field in found) else "."


def number(field: str, decimal: str = ".") -> bool:
    """Return whether a field is a number."""
    try:
        float(field.replace(decimal, "."))
    except ValueError:
        return False
    return True


def missing(field: str) -> bool:
    """Return whether a field stands for a missing value."""
    return field.strip().lower() in MISSING


def all_numbers(row: Sequence[str], decimal: str = ".") -> bool:
    """Return whether a line holds only numbers, some of which may be missing."""
    present = [field for field in row if not missing(field)]
    return bool(present) and all(number(field, decimal) for field in present)


def has_header(rows: Sequence[Sequence[str]], decimal: str = ".") -> bool:
    """Return whether the first of the rows names the columns.

    It does if it has a word over a column of numbers. It does not if it has a number there, or if most of its
    words occur again below them.
    """
    first, body = rows[0], rows[1:]
    again = words = numbers = 0
    for i, field in enumerate(first):
        column = [row[i] for row in body if i < len(row) and not missing(row[i])]
        if column and all(number(value, decimal) for value in column):
            if not missing(field) and not number(field, decimal):
                return True
            numbers += number(field, decimal)
        elif column:
            words += 1
            again += field in column
    return not numbers and 2 * again <= words
