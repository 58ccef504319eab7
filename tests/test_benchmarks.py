"""Test the shared code of the benchmarks, and one benchmark on a small scale."""

import pytest
import torch

from benchmarks import __main__ as runner
from benchmarks import base, ridge, store
from scripts import methods_table

RESULT = base.Result(
    "Title", "Note.", ["a", "b"], [["x", 0.012345], ["y", 12345.6]], "x", "y", {"c": [(2, 1), (1, 3)]}
)


def test_table_and_picture(tmp_path):
    assert base.markdown(RESULT) == (
        "# Title\n\nNote.\n\n| a | b |\n|---|---|\n| x | 0.0123 |\n| y | 12,346 |\n"
    )
    base.draw(RESULT, tmp_path / "deep" / "p.png")
    assert (tmp_path / "deep" / "p.png").stat().st_size > 5000


def test_operations_are_counted():
    a = torch.ones(3, 5)
    assert base.operations(lambda: a @ a.T) == 2 * 3 * 5 * 3


def test_ridge_benchmark_fills_its_table(monkeypatch):
    monkeypatch.setattr(ridge, "DIMS", (16, 32))
    monkeypatch.setattr(ridge, "ROWS", 64)
    result = ridge.run("unused")
    assert [row[0] for row in result.rows] == [16, 32]
    assert all(value > 0 for row in result.rows for value in row[:5])
    assert len(result.header) == len(result.rows[0])


def test_the_store_is_measured(tmp_path, capsys):
    took = dict(store.measure(tmp_path, 30, 200))
    assert len(took) == 3 + len(store.COMMANDS)
    assert all(seconds > 0 for seconds in took.values())


def test_the_command_writes_page_and_picture(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ridge, "DIMS", (16, 32))
    monkeypatch.setattr(ridge, "ROWS", 64)
    assert runner.main(["ridge", f"out={tmp_path}"]) == 0
    assert "`python -m benchmarks ridge`" in (tmp_path / "ridge.md").read_text()
    assert (tmp_path / "ridge.png").stat().st_size > 5000


def test_unknown_benchmark_costs_a_line(capsys):
    assert runner.main(["spee"]) == 2
    assert "spee must be one of speed" in capsys.readouterr().err


@pytest.mark.parametrize("name", runner.NAMES)
def test_every_benchmark_is_there(name):
    assert (base.Path(runner.__file__).parent / f"{name}.py").is_file()


@pytest.mark.slow
def test_the_table_of_methods_is_written(tmp_path):
    methods_table.main(["sets=digits", "dims=32", "seeds=1", f"out={tmp_path}"])
    lines = (tmp_path / "methods_digits.md").read_text().splitlines()
    assert sum(line.startswith("| ") for line in lines) == 1 + len(methods_table.SHARED) + 1 + 2
