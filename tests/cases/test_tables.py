"""Tables in other forms than numbers between commas."""

import bz2
import io
import lzma
import zipfile

import pandas as pd
import pytest

from tests.cases.base import SHARED, Case, rows
from tests.cases.test_data import CSV, ROWS, lines

QUOTED = "'light blue'"
SPARSE = "@relation r", "@attribute a real", "@attribute y real", "@data", "{0 1, 1 2}"


def encoded(codec):
    """Write a table with letters beyond ASCII."""

    def before(stage):
        rows = (f"{('Köln', 'Málaga')[i % 2]},{row}" for i, row in enumerate(ROWS))
        (stage.here / "t.csv").write_bytes("\n".join(("Städte,a,b,c,größe", *rows)).encode(codec))

    return before


def packed(ending):
    """Write the sound table in another form."""

    def before(stage):
        data = (SHARED / "ok.csv").read_bytes()
        if ending == "parquet":
            pd.read_csv(io.BytesIO(data)).to_parquet(stage.here / "t.parquet")
        else:
            pack = bz2.compress if ending == "csv.bz2" else lzma.compress
            (stage.here / f"t.{ending}").write_bytes(pack(data))

    return before


def two_in_a_zip(stage):
    """Write a zip of two tables."""
    with zipfile.ZipFile(stage.here / "t.zip", "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.writestr(name, "a,y\n1,2\n")


CASES = [
    *(
        Case(
            "19",
            f"a table with {kind}",
            now,
            CSV + "{cases}/" + name,
            number=number,
            says=says,
        )
        for name, kind, now, number, says in (
            ("semicolon.csv", "semicolons between columns", "it runs, and says so", 0.0123, ("separator ;",)),
            ("tabs.tsv", "tabs between columns", "it runs, and says so", 0.0123, ("separator tab",)),
            ("decimal_comma.csv", "decimal commas", "it runs, and says so", 0.0123, ("decimal comma",)),
            ("category.csv", "a column of words", "a column per word", None, ("1 category, 3 levels",)),
            ("missing_q.csv", '"?" for missing', "the median, and a mark", None, ("and marked: b",)),
            (
                "text_label.csv",
                "labels that are words",
                "classification, and says why",
                None,
                ("task classification: target species has 2 words", "2 classes"),
            ),
            ("label_1k.csv", "labels 1..k", "classification", None, ("y has 2 whole numbers", "2 classes")),
            ("label_pm1.csv", "labels -1 and +1", "classification", None, ("2 classes", "test accuracy")),
        )
    ),
    *(
        Case("19", situation, now, CSV + words, before=before, code=code, says=says, number=number)
        for situation, now, words, before, code, says, number in (
            (
                "columns between bars, and a header of one word without commas",
                "it runs",
                "t.csv",
                lines("a|b|c|y", *(row.replace(",", "|") for row in ROWS)),
                0,
                ("separator |", "32 train"),
                None,
            ),
            (
                "white space between columns, and no header, as UCI writes it",
                "it runs; dataset.header=false says that the first line is a row",
                "t.txt dataset.header=false",
                lines(*("  " + row.replace(",", "   ") for row in ROWS), name="t.txt"),
                0,
                ("separator white space", "32 train"),
                None,
            ),
            (
                "a line sep=; that Excel writes",
                "it runs",
                "t.csv",
                lines("sep=;", "a;b;c;y", *(row.replace(",", ";") for row in ROWS)),
                0,
                ("separator ;", "32 train"),
                None,
            ),
            (
                "a blank line in front of the header",
                "it runs",
                "t.csv",
                lines("", "a,b,c,y", *ROWS),
                0,
                ("32 train", "8 test, 3"),
                None,
            ),
            (
                "rows with words and no header",
                "the columns get numbers for names, and a line says so",
                "t.csv",
                lines(*(f"{row},{'ab'[i % 2]}" for i, row in enumerate(ROWS))),
                0,
                ("no header: its columns are called 0..4", "task classification: target 4 has 2 words"),
                None,
            ),
            (
                "KEEL's .dat without a header, numbers only",
                "it runs: such files have none",
                "t.dat",
                lines(*ROWS, name="t.dat"),
                0,
                ("no header", "32 train"),
                None,
            ),
            (
                "KEEL's .dat with its header",
                "names and target are those of the header",
                "t.dat",
                lines(
                    "@relation r",
                    *(f"@attribute {n} real [-9, 9]" for n in "abc"),
                    "@attribute y {u, v}",
                    "@inputs a, b, c",
                    "@outputs y",
                    "@data",
                    *(f"{row.rpartition(',')[0]}, {'uv'[i % 2]}" for i, row in enumerate(ROWS)),
                    name="t.dat",
                ),
                0,
                ("target y has 2 words", "8 test, 3, 2 classes"),
                None,
            ),
            (
                "an ARFF file with comments, quoted names and a missing value",
                "it runs",
                "t.arff",
                lines(
                    "% a comment",
                    "@RELATION r",
                    "",
                    "@ATTRIBUTE 'a long name' NUMERIC",
                    "@ATTRIBUTE b{red,'light blue'}",
                    "@ATTRIBUTE y NUMERIC",
                    "@DATA",
                    *(
                        f"{i},{'red' if i % 3 else chr(39) + 'light blue' + chr(39)},{i / 7}"
                        for i in range(30)
                    ),
                    "?,red,.5",
                    name="t.arff",
                ),
                0,
                ("1 category, 2 levels", "marked: a long name"),
                None,
            ),
            (
                "sparse rows in an ARFF file",
                "refused",
                "t.arff",
                lines(
                    "@relation r",
                    "@attribute a real",
                    "@attribute y real",
                    "@data",
                    "{0 1, 1 2}",
                    name="t.arff",
                ),
                3,
                ("sparse ARFF rows are not read",),
                None,
            ),
            (
                "utf-16, as Windows saves it",
                "it runs, and says so",
                "t.csv",
                encoded("utf-16"),
                0,
                ("encoding utf-16", "1 category, 2 levels", "target größe"),
                None,
            ),
            (
                "Latin letters in no UTF-8",
                "it runs, and says which encoding it took",
                "t.csv",
                encoded("cp1252"),
                0,
                ("encoding cp1252", "1 category, 2 levels", "target größe"),
                None,
            ),
            (
                "an encoding that does not fit",
                "refused",
                "t.csv dataset.encoding=utf-8",
                encoded("cp1252"),
                3,
                ("codec can't decode",),
                None,
            ),
            (
                "a column of dates",
                "days since 1970",
                "t.csv",
                lines("day,y", *(f"2024-{1 + i % 12:02}-{1 + i % 28:02},{i / 7}" for i in range(40))),
                0,
                ("dates as days since 1970: day",),
                None,
            ),
            (
                "a column of names, another in every row",
                "left out, with a line",
                "t.csv",
                lines("name,a,b,c,y", *(f"n{i},{row}" for i, row in enumerate(ROWS * 3))),
                0,
                ("left out, nearly every row has another word: name",),
                None,
            ),
            (
                "rows without a target",
                "left out, with their count",
                "t.csv",
                lines("a,y", *(f"{i},{'' if i % 10 == 3 else i / 7}" for i in range(60))),
                0,
                ("6 rows without y are left out", "43 train"),
                None,
            ),
            (
                "a column to leave out that is not there",
                "refused, with the columns",
                "{cases}/ok.csv dataset.drop=[d]",
                None,
                3,
                ("drop of Csv must be columns of the table: a, b, c, y. Got 'd'",),
                None,
            ),
            (
                "the target by its place, and two columns left out",
                "it runs",
                "{cases}/ok.csv dataset.target=-1 dataset.drop=[b,c]",
                None,
                0,
                ("24 test, 1, regression",),
                None,
            ),
            (
                "words as the target of a regression",
                "refused",
                "{cases}/text_label.csv dataset.task=regression",
                None,
                3,
                ("target of Csv must be numbers for regression (column species is not)",),
                None,
            ),
            (
                "months as numbers, with dataset.categorical",
                "a column per month",
                "t.csv dataset.categorical=[m]",
                lines("m,a,y", *(f"{1 + i % 12},{i * i % 7},{i / 7}" for i in range(80))),
                0,
                ("1 category, 12 levels",),
                None,
            ),
            (
                "a test table of its own",
                "it is the test part",
                "{cases}/ok.csv dataset.test_path={cases}/semicolon.csv",
                None,
                0,
                ("120 train", "120 test", "120 of the 120 test rows also occur in training"),
                None,
            ),
            (
                "a test table that lacks a column",
                "refused, with the column",
                "{cases}/ok.csv dataset.test_path={cases}/category.csv",
                None,
                3,
                ("test_path of Csv must be", "Got 'c'"),
                None,
            ),
            (
                "a zip of two tables",
                "refused",
                "t.zip",
                two_in_a_zip,
                3,
                ("a zip must hold one file, it holds a.csv, b.csv",),
                None,
            ),
            (
                "inf in a column",
                "refused, with row and column",
                "t.csv",
                lines("a,y", *(f"{'inf' if i == 4 else i},{i / 7}" for i in range(40))),
                3,
                ("column a of the table must be finite (row 5 is not). Got inf",),
                None,
            ),
        )
    ),
    *(
        Case(
            "19",
            f"a table as {name}",
            "it runs",
            CSV + "t." + name,
            before=packed(name),
            number=0.0123,
        )
        for name in ("csv.bz2", "csv.xz", "parquet")
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
