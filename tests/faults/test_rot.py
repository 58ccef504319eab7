"""D1-D6, D11: damage is seen before use, only damaged shards are computed again, no false alarms."""

import os
import random
import shutil

import numpy as np
import pytest

from tests.faults import harness
from tests.faults.harness import check_resumed, recorded, stamps
from tests.faults.plan import FULL, SEED, count, record


def copy(toy, good):
    """Make a copy with its own times and inodes."""
    out = toy.folder / "copy"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(good, out)
    return out


def files(out):
    return sorted(out.glob("features/*/*.h5"))


def flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def cut(data, rng):
    return rng.choice([data[: rng.randrange(len(data))], data + b"\0", b""])


def page(data, rng):
    size = rng.choice([512, 4096])
    at = rng.randrange(max(1, len(data) // size)) * size
    return data[:at] + bytes(size) + data[at + size :]


@pytest.mark.parametrize(("damage", "full"), [(flip, 1000), (cut, 200), (page, 200)])
def test_damaged_bytes_of_a_shard_are_all_found(toy, good, damage, full):
    rng, trials = random.Random(SEED), count(60, full)
    out = copy(toy, good)
    found = changed = 0
    for _ in range(trials // 10):
        # ten shards at a time: one verify finds all
        victims = rng.sample(files(out), 10)
        kept = {path: path.read_bytes() for path in victims}
        for path in victims:
            data = damage(kept[path], rng)
            changed += data != kept[path]
            path.write_bytes(data)
        told = toy.ask(["verify", out])
        found += sum(f"{path} " in told.out for path in victims)
        assert told.code == 4
        for path in victims:
            path.write_bytes(kept[path])
        assert toy.ask(["verify", out]).code == 0
    assert found == changed
    assert changed > 0.8 * trials
    record(
        "D1-D3",
        f"{damage.__name__} of a shard, found by verify; as many clean stores, no false alarm",
        changed,
    )


@pytest.mark.parametrize("damage", [flip, cut, page])
def test_only_the_damaged_shards_are_computed_again(toy, good, damage):
    rng, trials = random.Random(SEED + 1), count(1, 30)
    for _ in range(trials):
        out = copy(toy, good)
        victims = rng.sample(files(out), 2)
        for path in victims:
            path.write_bytes(damage(path.read_bytes(), rng) + b"!")
        before = stamps(out)
        known = recorded(out) - {path.name for path in victims}
        again = toy.start(out)
        check_resumed(toy, out, before, known, again)
        assert "2 damaged or missing shards are computed again" in again.err
    record("D1-D3", f"two shards with {damage.__name__}, then the same command", trials)


def test_swapped_and_foreign_shards(toy, good):
    rng, trials = random.Random(SEED + 2), count(2, 30)
    for _ in range(trials):
        out = copy(toy, good)
        a, b = rng.sample(files(out), 2)
        a_bytes, b_bytes = a.read_bytes(), b.read_bytes()
        a.write_bytes(b_bytes)
        b.write_bytes(a_bytes)
        before, known = stamps(out), recorded(out) - {a.name, b.name}
        check_resumed(toy, out, before, known, toy.start(out))
    record("D4", "two shards swapped", trials)


@pytest.mark.parametrize("what", ["gone", "symlink", "fifo", "folder"])
def test_shards_that_are_no_files(toy, good, what):
    out = copy(toy, good)
    victim = files(out)[3]
    victim.unlink()
    if what == "symlink":
        victim.symlink_to(files(good)[3])
    elif what == "fifo":
        os.mkfifo(victim)
    elif what == "folder":
        victim.mkdir()
    before, known = stamps(out), recorded(out) - {victim.name}
    again = toy.start(out)
    if what == "folder":
        assert again.code == 5
        assert "Traceback" not in again.err
    else:
        check_resumed(toy, out, before, known, again)
        assert victim.is_file()
        assert not victim.is_symlink()
    assert harness.shards(good) == toy.oracle["shards"]
    record("D5", f"a shard replaced by: {what}", 1)


@pytest.mark.slow
def test_damaged_manifests(toy, good):
    rng, trials = random.Random(SEED + 3), count(3, 200)
    for _ in range(trials):
        out = copy(toy, good)
        (path,) = out.glob("features/*/manifest.jsonl")
        data = path.read_bytes()
        path.write_bytes(rng.choice([flip, cut])(data, rng))
        again = toy.start(out)
        assert again.code == 0, again.err
        assert harness.state(out) == toy.oracle
    record("D6", "a manifest flipped, cut or emptied, then the same command", trials)


def test_damaged_results_are_told(toy, good):
    rng, trials = random.Random(SEED + 4), count(8, 150)
    told = 0
    for _ in range(trials):
        out = copy(toy, good)
        path = next(out.glob("runs/*/")) / rng.choice(["result.json", "config.json", "status.json"])
        data = path.read_bytes()
        path.write_bytes(data[: rng.randrange(1, len(data) - 2)])
        answer = toy.ask(["verify", out])
        told += answer.code == 4 and path.name in answer.out
        assert toy.ask(["list", out]).code in (0, 3)
    assert told == trials
    record("D8", "result.json, config.json or status.json cut", trials)


def test_a_damaged_database_costs_nothing_but_the_view(toy, good):
    rng, trials = random.Random(SEED + 5), count(2, 20)
    for _ in range(trials):
        out = copy(toy, good)
        database = out / "mlflow.db"
        data = bytearray(database.read_bytes())
        at = rng.randrange(len(data) // 4096) * 4096
        data[at : at + 4096] = rng.randbytes(4096)
        database.write_bytes(data)
        again = toy.start(out)
        assert again.code == 0, again.err
        assert "Traceback" not in again.err
        assert harness.state(out) == toy.oracle
    record("D9", "a random page of mlflow.db", trials)


def test_manifest_holds_what_the_files_are(good):
    assert harness.receipts(good) == harness.shards(good)


KEYED = ["seed=1", "dataset.preprocess=contrast"]
if FULL:
    KEYED += [
        "feature_dim=80",
        "dtype=float64",
        "depth=3",
        "degree=3",
        "filter_size=5",
        "shard_rows=40",
        "method=rff",
        "method=ntk_sketch",
    ]
    KEYED += [
        "method.coefficients=taylor",
        "method.trained=all",
        "method.sketch_dim=40",
        "dataset.n_train=400",
    ]
    KEYED += ["dataset.preprocess=zca", "dataset.augment=flip", "dataset.valid_fraction=0.3"]
    KEYED += ["dataset.split_seed=1", "dataset.n_test=50", "method.padding=valid"]
NOT_KEYED = ["solver.lambda_count=4", "tracking.experiment=x"]
if FULL:
    NOT_KEYED += [
        "solver=ridge_cg",
        "baseline=estimate",
        "skip_finished=true",
        "data_dir=/tmp",
        "device=auto",
    ]


@pytest.mark.slow
def test_what_changes_numbers_changes_the_key_and_nothing_else_does(toy, good):
    """D7: features of another configuration, or of other data, are never taken for those of this one."""

    def keys(*words):
        out = copy(toy, good)
        assert toy.start(out, *words).code == 0
        return {p.name for p in out.glob("features/*") if p.is_dir()}

    (key,) = keys()
    for word in NOT_KEYED:
        assert keys(word) == {key}, word
    seen = {key}
    for word in KEYED:
        new = keys(word) - seen
        assert len(new) == 1, word
        seen |= new
    images = dict(np.load(toy.data))
    images["x_train"][17, 3, 3, 0] += 1e-6
    np.savez(toy.folder / "other.npz", **images)
    assert len(keys(f"dataset.path={toy.folder / 'other.npz'}") - seen) == 1
    record("D7", "one part of the key changed: another key, nothing reused", len(KEYED) + 1, True)
    record("D7", "what does not enter the numbers changed: the same key", len(NOT_KEYED), True)
