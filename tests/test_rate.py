"""Measure the rate of the exact kernel for as long as it takes to tell, keep it, and tell it as a range."""

import json

import pytest
import torch

from ntkrun import machine
from ntkrun.cli import main as cli
from ntkrun.cli.summary import compared
from ntkrun.datasets.digits import Digits
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.progress import faster
from ntkrun.stages import rate


class Slow(ExactNTK):
    """A kernel that takes a given time per entry, by a clock of its own; `waits` multiply it call by call."""

    per_entry = 1e-3
    waits = (1.0,)
    calls = 0
    now = 0.0

    def kernel(self, X, Y=None):
        Slow.now += len(X) * len(Y) * self.per_entry * self.waits[self.calls % len(self.waits)]
        self.calls += 1
        return torch.zeros(len(X), len(Y))


@pytest.fixture
def quiet(monkeypatch):
    """Let no other program slow the measurement down."""
    monkeypatch.setattr(machine.Load, "beside", lambda _: None)


@pytest.fixture
def clock(quiet, monkeypatch):
    monkeypatch.setattr(rate.time, "perf_counter", lambda: Slow.now)


@pytest.fixture(scope="module")
def split():
    return Digits().load()


def test_the_rate_is_right_and_the_same_question_is_answered_from_the_file(split, tmp_path, clock):
    slow = Slow()
    found = rate.measured(split, slow, tmp_path, 0.0)
    assert (found.low, found.entries_per_s, found.high) == pytest.approx((1000, 1000, 1000))
    calls = slow.calls
    assert rate.measured(split, slow, tmp_path, 0.0) == found
    assert slow.calls == calls
    rate.measured(split, Slow(depth=2), tmp_path, 0.0)  # another kernel
    first, second = (json.loads(file.read_text())["of"] for file in tmp_path.glob("*.json"))
    assert first["parameters"] != second["parameters"]
    for file in tmp_path.glob("*.json"):
        file.write_text("{torn")
    assert rate.measured(split, slow, tmp_path, 0.0).entries_per_s == pytest.approx(1000)
    assert slow.calls > calls


def test_a_small_job_is_not_timed_for_longer_than_one_block(split, tmp_path, clock):
    slow = Slow()
    slow.per_entry = 1e-6
    rate.measured(split, slow, tmp_path, 60.0)
    assert slow.calls == 2  # one to compile, one to time
    assert not list(tmp_path.iterdir())


def test_blocks_that_disagree_give_a_range_that_is_not_kept(split, tmp_path, clock):
    slow = Slow()
    slow.waits = (1.0, 1.5)
    found = rate.measured(split, slow, tmp_path, 0.0)
    assert found.high / found.low == pytest.approx(1.5)
    assert found.low <= found.entries_per_s <= found.high
    assert not list(tmp_path.iterdir())


def test_a_rate_beside_other_work_is_not_kept(split, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(machine.Load, "beside", lambda _: machine.Beside(2.0, True))
    rate.measured(split, Slow(), tmp_path, 0.0)
    assert not list(tmp_path.iterdir())


def test_the_rate_of_the_ntk_is_that_of_whole_blocks(split, tmp_path, monkeypatch):
    """The kernel of a few rows would tell the price of a call, not that of an entry."""
    sizes, timed = [], rate._timed
    monkeypatch.setattr(rate, "_timed", lambda m, x: (sizes.append(len(x)), timed(m, x))[1])
    rate.measured(split, ExactNTK(depth=2), tmp_path, 0.0)
    assert sizes[-1] > 500


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((150.0,), "150 x faster"),
        ((0.25,), "4 x slower"),
        ((150.0, 149.0, 151.0), "150 x faster"),
        ((150.0, 130.0, 161.0), "130 to 160 x faster"),
        ((0.25, 0.2, 0.5), "2 to 5 x slower"),
        ((1.2, 0.75, 1.5), "between 1.3 x slower and 1.5 x faster"),
    ],
)
def test_ranges_in_words(bounds, words):
    assert faster(*bounds) == words


def test_a_run_tells_the_range(tmp_path):
    result = {"test/accuracy": 0.9, "speedup": 100.0, "time/total_s": 1.0, "exact/time_s": 100.0}
    result |= {"exact/time_kind": "extrapolated", "exact/time_low_s": 80.0, "exact/time_high_s": 120.0}
    assert "80 to 120 x faster than the exact kernel" in compared(result)


def test_the_jobs_of_a_sweep_share_the_rate(tmp_path, monkeypatch, quiet):
    seen = []
    monkeypatch.setattr(rate, "_timed", lambda *_: (seen.append(0), 0.5)[1])
    words = [f"output_dir={tmp_path}", "baseline=estimate", "feature_dim=64"]
    assert cli.main(words) == 0
    assert len(seen) == 3
    assert cli.main([*words, "seed=1"]) == 0
    assert len(seen) == 3
    one, two = (json.loads(p.read_text()) for p in tmp_path.glob("runs/*/result.json"))
    assert one["exact/entries_per_s"] == two["exact/entries_per_s"] == 32
    assert one["exact/time_low_s"] == one["exact/time_s"] == one["exact/time_high_s"]
