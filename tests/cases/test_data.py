"""Tables as people have them."""

import gzip
import zipfile

import numpy as np
import pytest

from tests.cases.base import TABLE, Case, rows

CSV = TABLE + "tracking.uri=sqlite:///:memory: dataset.path="
RNG = np.random.default_rng(0)
ROWS = [",".join(f"{v:.4f}" for v in row) for row in RNG.normal(size=(40, 4))]


def lines(*text, name="t.csv"):
    """Write a table."""

    def before(stage):
        data = "\n".join(text).encode()
        if name.endswith(".zip"):
            with zipfile.ZipFile(stage.here / name, "w") as archive:
                archive.writestr("t.csv", data)
        else:
            (stage.here / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    return before


CASES = [
    Case(
        "16",
        "a sound table",
        "it runs; the error is that of a straight line",
        TABLE + "dataset.path={cases}/ok.csv",
        number=0.0123,
    ),
    Case(
        "16.3",
        "rows longer than the header",
        "refused: row 1 has 6 fields, the header 4",
        CSV + "{cases}/short_header.csv",
        code=3,
        says=("row 1 has 6 fields, the header 4",),
    ),
    *(
        Case(
            "16.3",
            f"rows longer than the header, in a {name[1:]} file",
            "refused: row 1 has 4 fields, the header 3",
            CSV + "t" + name,
            before=lines("a,b,y", *ROWS, name="t" + name),
            code=3,
            says=("row 1 has 4 fields, the header 3",),
        )
        for name in (".csv.gz", ".zip")
    ),
    Case(
        "16.3",
        "one row in the middle longer than the header",
        "refused, with that row's number",
        CSV + "t.csv",
        before=lines("a,b,c,y", *ROWS[:9], ROWS[9] + ",1", *ROWS[10:]),
        code=3,
        says=("row 10 has 5 fields, the header 4",),
    ),
    Case(
        "16.3",
        "one row shorter than the header",
        "refused, with that row's number",
        CSV + "t.csv",
        before=lines("a,b,c,y", *ROWS[:9], "1,2,3", *ROWS[10:]),
        code=3,
        says=("row 10 has 3 fields, the header 4",),
    ),
    Case(
        "16.3",
        "rows that end in a comma",
        "refused: row 1 has a field more than the header",
        CSV + "t.csv",
        before=lines("a,b,c,y", *(row + "," for row in ROWS)),
        code=3,
        says=("row 1 has 5 fields, the header 4", "Let no row end in a comma"),
    ),
    *(
        Case(
            "16.3",
            f"names of rows as R's write.table puts them in front: {kind}",
            "refused: row 1 has a field more than the header",
            CSV + "t.csv",
            before=lines('"a","b","c","y"', *(f'"{word}{i}",{row}' for i, row in enumerate(ROWS, start))),
            code=3,
            says=("row 1 has 5 fields, the header 4",),
        )
        for kind, word, start in (
            ("words", "Mazda ", 1),
            ("numbers from 1", "", 1),
            ("numbers from 0", "", 0),
        )
    ),
    Case(
        "16.3",
        "a column that counts the rows and has no name, as pandas and R write it",
        "refused: the count is no input",
        CSV + "t.csv",
        before=lines(",a,b,c,y", *(f"{i},{row}" for i, row in enumerate(ROWS))),
        code=3,
        says=("no name for column 1", "If it counts the rows: dataset.drop=['']"),
    ),
    Case(
        "16.3",
        "two columns of the same name",
        "refused, with the name",
        CSV + "t.csv",
        before=lines("a,b,a,y", *ROWS),
        code=3,
        says=("more than one column a",),
    ),
    Case(
        "16.3",
        "a table without a header",
        "refused: its first line is all numbers; dataset.header says which it is",
        CSV + "{cases}/nohead.csv",
        code=3,
        says=("first line of", "is all numbers", "dataset.header=false", "dataset.header=true"),
    ),
    Case(
        "16.3",
        "a table without a header whose first row lacks a number",
        "refused all the same",
        CSV + "t.csv",
        before=lines("?,1,2,3", *ROWS),
        code=3,
        says=("is all numbers", "dataset.header=false"),
    ),
    Case(
        "16.3",
        "a table without a header, with dataset.header=false",
        "it runs, and its first row counts",
        CSV + "{cases}/nohead.csv dataset.header=false",
        number=0.0123,
        says=("96 train", "24 test"),
    ),
    Case(
        "16.3",
        "columns called by numbers, with dataset.header=true",
        "it runs with these names",
        CSV + "t.csv dataset.header=true dataset.target=2021",
        before=lines("2018,2019,2020,2021", *ROWS),
        says=("32 train", "8 test"),
    ),
    Case(
        "16.3",
        "a header and no rows",
        "refused",
        CSV + "t.csv dataset.task=classification",
        before=lines("a,b,c,y"),
        code=3,
        says=("it has no rows",),
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
