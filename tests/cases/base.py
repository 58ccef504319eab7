"""A situation that people met: a command line or a call, and what has to come of it.

`Case` is a row of the table; the files beside this one hold the rows, by subject. `Stage` (the fixture
`stage`) plays a row in a folder of its own. scripts/reliability.py prints `situation` and `now` of every row
into docs/reliability.md.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ntkrun.cli import main as cli
from ntkrun.errors import NtkrunError

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = ROOT.parent / "shared" / "cases"
# a run of a second: a table, or the digits
TABLE = "dataset=csv method=raw baseline=none "
DIGITS = "dataset.n_train=60 dataset.n_test=20 feature_dim=48 depth=2 baseline=none "


@dataclass(frozen=True)
class Case:
    """One situation.

    Parameters
    ----------
    point : str
        Issue and point, "16.3".
    situation, now : str
        What a person did, and what happens: two cells of a table that strangers read.
    words : str or list of str
        The command lines as they are typed behind `ntkrun`, in order; the last one is judged. `{cases}`,
        `{here}` and `{out}` stand for ../shared/cases, the current folder and the output folder in it.
    call : callable or None
        Python instead of a command; it gets the Stage. An NtkrunError counts as its exit code and line.
    before : callable or None
        Makes what the situation needs; it gets the Stage.
    code : int
    says, never : sequences of str
        What must stand in stdout or stderr, and what must not.
    number : float or None
        The test score of the newest run, to four digits.
    check : callable or None
        More to assert; it gets the Stage.
    slow : bool
        Left to `make test-all`: it takes seconds, and rows like it are not slow.
    """

    point: str
    situation: str
    now: str
    words: str | Sequence[str] = ()
    call: Callable[[Stage], Any] | None = None
    before: Callable[[Stage], Any] | None = None
    env: dict[str, str] = field(default_factory=dict)
    code: int = 0
    says: Sequence[str] = ()
    never: Sequence[str] = ()
    number: float | None = None
    check: Callable[[Stage], Any] | None = None
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.point} {self.situation}"


def rows(cases: Sequence[Case]) -> list[Any]:
    """Return the cases as parameters of a test."""
    return [pytest.param(case, id=str(case), marks=[pytest.mark.slow] * case.slow) for case in cases]


class Stage:
    """An empty current folder, `here`, and what the last command said: `out`, `err`, `text` for both."""

    def __init__(self, here: Path, capsys: Any, monkeypatch: Any):
        self.here, self.capsys, self.monkeypatch = here, capsys, monkeypatch
        self.outputs = here / "outputs"
        self.code, self.out, self.err = 0, "", ""

    @property
    def text(self) -> str:
        """Both outputs."""
        return self.out + self.err

    def ntkrun(self, words: str | Sequence[str]) -> int:
        """Give one command, as typed or as a list of words, and return its exit code."""
        line = shlex.split(words) if isinstance(words, str) else list(words)
        places = {"{cases}": str(SHARED), "{here}": str(self.here), "{out}": str(self.outputs)}
        for name, place in places.items():
            line = [word.replace(name, place) for word in line]
        self.capsys.readouterr()
        self.code = cli.main(line)
        self.out, self.err = self.capsys.readouterr()
        return self.code

    def copy(self, name: str, to: str = "") -> Path:
        """Bring an input from ../shared/cases and return where it is now."""
        target = self.here / (to or name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SHARED / name, target)
        return target

    def results(self, out: Path | None = None) -> list[dict[str, Any]]:
        """Return all results of an output folder, the newest last."""
        files = sorted((out or self.outputs).glob("runs/*/result.json"), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(p.read_text()) for p in files]

    def play(self, case: Case) -> None:
        """Do what the situation says and judge it."""
        if case.before:
            case.before(self)
        for name, value in case.env.items():
            self.monkeypatch.setenv(name, value.replace("{here}", str(self.here)))
        if case.call:
            self._call(case.call)
        for line in [case.words] if isinstance(case.words, str) else case.words:
            self.ntkrun(line)
        assert self.code == case.code, self.text
        assert "Traceback" not in self.text
        for words in case.says:
            assert words in self.text, (words, self.text)
        for words in case.never:
            assert words not in self.text, (words, self.text)
        if case.code in (2, 3) and not case.call:
            lines = [line for line in self.err.splitlines() if line.startswith("ntkrun: ")]
            assert len(lines) == 1, self.err
        if case.number is not None:
            result = self.results()[-1]
            score = next(result[f"test/{m}"] for m in ("accuracy", "mse") if f"test/{m}" in result)
            assert score == pytest.approx(case.number, abs=5e-5)
        if case.check:
            case.check(self)

    def _call(self, call: Callable[[Stage], Any]) -> None:
        self.capsys.readouterr()
        try:
            call(self)
            self.code = 0
            message = ""
        except NtkrunError as error:
            self.code, message = error.exit_code, str(error)
        self.out, self.err = self.capsys.readouterr()
        self.err += message


def needs_cases() -> None:
    """Skip where the inputs are absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no inputs in {SHARED}")
