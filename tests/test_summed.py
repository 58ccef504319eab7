"""Summed features give the bits of stored ones, and a run that is killed goes on from its last sums."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ntkrun.datasets.digits import Digits
from ntkrun.datasets.split import make_split
from ntkrun.errors import IntegrityError, MachineError
from ntkrun.executors import EXECUTORS
from ntkrun.executors.serial import Serial
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.solvers import sums as solver_sums
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import featurize, regress, score, summed
from ntkrun.stages.tasks import task_of
from ntkrun.store import sums
from tests.test_executor import Backwards

ROWS = 20  # per shard


def regression():
    rng = np.random.default_rng(5)
    x, test = rng.normal(size=(300, 6)), rng.normal(size=(50, 6))
    parts = [(a, a[:, 0] * a[:, 1] + 0.1 * rng.normal(size=len(a))) for a in (x, test)]
    options = {"n_train": None, "n_test": None, "valid_fraction": 0.2, "split_seed": 0, "classes": None}
    return make_split("made", *parts, **options)


SPLITS = {
    "classes": lambda: Digits(n_train=300, n_test=60).load(),
    "numbers": regression,
    "mirrored": lambda: Digits(n_train=200, n_test=40, augment="flip").load(),
}


def task_for(name="classes", columns=32, **options):
    task = task_of(SPLITS[name](), RandomFourierFeatures(columns, **options))
    task.fit()
    return task


def numbers(features, task, solver, executor):
    """Return everything that a run computes from its features."""
    fit = regress.run(features.train, features.valid, task.method, solver, executor)
    scores = score.run(fit, features.test)
    tensors = [fit.predictor.weight, fit.predictor.bias, fit.prediction, scores.prediction, scores.labels]
    return SimpleNamespace(
        plain=(fit.predictor.lam, fit.valid_scores, scores.value, scores.more), tensors=tensors
    )


def stored_numbers(task, root, solver=None):
    features = featurize.compute(task, root / "stored", ROWS, Serial())
    return numbers(features, task, solver or Ridge(), Serial())


def summed_numbers(task, root, solver=None, executor=None):
    executor = executor or Serial()
    with summed.opened(task, root / "summed", ROWS, executor) as features:
        out = numbers(features, task, solver or Ridge(), executor)
    out.reused, out.seconds = features.reused, features.seconds
    return out


def same(a, b):
    return a.plain == b.plain and all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors, strict=True))


def files(root):
    return sorted(root.glob("summed/*/*.sums"))


@pytest.fixture(autouse=True)
def every_group_is_kept(monkeypatch):
    monkeypatch.setattr(sums, "SECONDS", 0.0)
    monkeypatch.setattr(sums, "SHARE", float("inf"))


@pytest.fixture
def passes(monkeypatch):
    """Store no shard at all."""
    monkeypatch.setattr(summed, "SMALL_BYTES", -1)


@pytest.fixture
def halts(monkeypatch):
    """Let the work end before so many groups; None for no end."""
    left = [None]
    real = solver_sums.group_sums

    def group_sums(*arguments):
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return real(*arguments)

    def set_to(count):
        left[0] = count

    monkeypatch.setattr(solver_sums, "group_sums", group_sums)
    return set_to


@pytest.mark.parametrize("few", ["few stored", "none stored"])
@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_those_of_stored_features(name, few, dtype, tmp_path, monkeypatch):
    if few == "none stored":
        monkeypatch.setattr(summed, "SMALL_BYTES", -1)
    task = task_for(name, dtype=dtype)
    assert same(stored_numbers(task, tmp_path), summed_numbers(task, tmp_path))
    shards = {path.name.split("-")[0] for path in tmp_path.glob("summed/*/*.h5")}
    assert shards == ({"valid", "test"} if few == "few stored" else set())
    assert not list(tmp_path.glob("summed/*/.tmp-*"))
    assert len(files(tmp_path)) == 2  # of the training rows, and of all


def test_the_bits_of_sums_in_float32(tmp_path, monkeypatch, passes):
    monkeypatch.setattr(solver_sums, "SINGLE", 30)
    task = task_for()
    a, b = stored_numbers(task, tmp_path), summed_numbers(task, tmp_path)
    assert same(a, b)
    assert same(summed_numbers(task, tmp_path), b)  # from the files
    assert not same(stored_numbers(task, tmp_path, Ridge(sums="float64")), b)


def test_the_order_in_which_groups_end_is_not_seen(tmp_path, passes):
    class Parallel(Backwards):
        parallel = True

    task = task_for("numbers")
    assert same(stored_numbers(task, tmp_path), summed_numbers(task, tmp_path, executor=Parallel()))


@pytest.mark.parametrize(
    "name",
    [
        "process",
        pytest.param("dask", marks=pytest.mark.slow),
        pytest.param("submitit", marks=pytest.mark.slow),
    ],
)
def test_any_executor_gives_the_same_bits(name, tmp_path, passes):
    task = task_for()
    (tmp_path / "jobs").mkdir()
    before = stored_numbers(task, tmp_path)
    with EXECUTORS.get(name)(workers=2, threads=torch.get_num_threads()) as executor:
        executor.folder = tmp_path / "jobs"
        assert same(before, summed_numbers(task, tmp_path, executor=executor))
    assert not list(tmp_path.glob("summed/*/.tmp-*"))


@pytest.mark.parametrize("name", ["classes", "mirrored"])
def test_a_run_that_is_cut_goes_on_from_its_last_group(name, tmp_path, halts, passes):
    task = task_for(name)
    before, done = stored_numbers(task, tmp_path), 0
    groups = -(-len(task.split.train) // 40) - 1
    cuts = 0
    while True:
        halts(2)
        try:
            after = summed_numbers(task, tmp_path)
        except KeyboardInterrupt:
            cuts += 1
            newest = max(int(path.name.split("-")[1]) for path in files(tmp_path))
            assert newest == done + 2  # nothing that was finished is done again
            done = newest
        else:
            break
    assert cuts >= groups // 2
    assert same(before, after)
    assert len(files(tmp_path)) == 2


def test_a_second_run_computes_no_training_row(tmp_path, halts):
    task = task_for()
    first = summed_numbers(task, tmp_path)
    assert first.reused == 0
    halts(0)
    lasting = files(tmp_path)
    for count in ("00001", "00002"):  # a writer was killed before it removed these
        passing = lasting[0].name.split("-")
        shutil.copy(lasting[0], lasting[0].with_name("-".join([passing[0], count, *passing[2:]])))
    again = summed_numbers(task, tmp_path)
    assert same(first, again)
    assert files(tmp_path) == lasting
    assert again.reused == len(featurize.pieces(task.split, ROWS))
    assert again.seconds >= first.seconds * 0.5  # times do not depend on what was there
    with pytest.raises(KeyboardInterrupt):
        summed_numbers(task, tmp_path, Ridge(sums="float64"))  # other sums


HARM = {
    "torn": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a flipped bit": lambda data: data[:700] + bytes([data[700] ^ 4]) + data[701:],
    "a flipped bit of the first line": lambda data: bytes([data[3] ^ 1]) + data[1:],
    "longer": lambda data: data + b"x",
}


@pytest.mark.parametrize("how", HARM)
def test_damaged_sums_are_not_used(how, tmp_path, halts, caplog):
    task = task_for()
    halts(5)
    with pytest.raises(KeyboardInterrupt):
        summed_numbers(task, tmp_path)
    older, newest = files(tmp_path)
    newest.write_bytes(HARM[how](newest.read_bytes()))
    with pytest.raises(IntegrityError):
        sums.read(newest)
    halts(None)
    after = summed_numbers(task, tmp_path)
    assert same(stored_numbers(task, tmp_path), after)
    assert f"{newest.name} does not have its recorded checksum. It is not used." in caplog.text
    assert after.reused > 0  # the file before it was taken
    assert not older.exists()


def test_sums_under_another_name_or_a_link_are_not_used(tmp_path, halts):
    task = task_for()
    first = summed_numbers(task, tmp_path)
    one, both = files(tmp_path)
    shutil.copy(both, one)
    assert same(summed_numbers(task, tmp_path), first)
    assert sums.read(one).count < sums.read(both).count
    secret = tmp_path / "elsewhere"
    one.rename(secret)
    one.symlink_to(secret)
    with pytest.raises(IntegrityError, match="not a regular file"):
        sums.read(one)
    assert same(summed_numbers(task, tmp_path), first)
    assert not one.is_symlink()


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, monkeypatch, halts):
    task = task_for()
    halts(4)
    with pytest.raises(KeyboardInterrupt):
        summed_numbers(task, tmp_path)
    kept = {path.name: path.read_bytes() for path in files(tmp_path)}
    halts(None)

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"could not be written: .*choose another output_dir"):
        summed_numbers(task, tmp_path)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in files(tmp_path)} == kept
    assert not list(tmp_path.glob("summed/*/.tmp-*"))
    assert same(stored_numbers(task, tmp_path), summed_numbers(task, tmp_path))


def test_few_files_and_few_bytes_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sums, "SECONDS", 3600.0)
    written, write = [], sums.write_atomic

    def counted(path, parts):
        write(path, parts)
        written.append(path.stat().st_size)

    monkeypatch.setattr(sums, "write_atomic", counted)
    task = task_for()
    summed_numbers(task, tmp_path)
    assert len(written) == 2
    assert all(size - sums.sums_bytes(32, 10) < 300 for size in written)
