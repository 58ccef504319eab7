"""Data as people have them."""

import pytest

from tests.cases.base import TABLE, Case

CASES = [
    Case(
        "16",
        "a sound table",
        "it runs; the error is that of a straight line",
        TABLE + "dataset.path={cases}/ok.csv",
        number=0.0123,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_situation(case, stage):
    stage.play(case)
