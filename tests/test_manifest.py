"""Test the manifest of a folder of shards: a line per shard, each with its own checksum."""

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.datasets.digits import Digits
from ntkrun.errors import MachineError
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.stages import featurize
from ntkrun.store import manifest
from ntkrun.store.shards import Receipt, ShardStore
from tests.faults.plan import record

OLD = Path(__file__).parent / "data" / "old_store"  # written on 2026-11-27 by revision a7c4fa6
RECEIPT = Receipt("train-00000.h5", "train", 0, 20, "0" * 64, 1000, 0.1)


def run(root):
    """Compute the shards of the old folder, or find them."""
    return featurize.run(
        Digits(n_train=40, n_test=10).load(), RandomFourierFeatures(n_components=8), root, 20
    )


def receipts(count):
    return [replace(RECEIPT, name=f"train-{i:06d}.h5", start=20 * i, stop=20 * i + 20) for i in range(count)]


def filled(folder, count=3):
    store = ShardStore(folder, {"a": (1, None)})
    for receipt in receipts(count):
        store.add(receipt)
    return store


def test_lines_are_json_and_the_first_is_the_specification(tmp_path):
    store = filled(tmp_path)
    first, *others = [json.loads(line)["body"] for line in store.manifest.read_text().splitlines()]
    assert first == {"spec": {"a": [1, None]}}
    assert [Receipt(**body) for body in others] == receipts(3)
    again = ShardStore(tmp_path, {})
    assert (again.receipts, again.spec, again.damaged) == (store.receipts, {"a": [1, None]}, 0)


def test_a_receipt_is_appended_and_nothing_else_is_written(tmp_path):
    store = filled(tmp_path)
    before, inode = store.manifest.read_bytes(), store.manifest.stat().st_ino
    for i, again in enumerate((store, ShardStore(tmp_path, {}))):
        again.add(replace(RECEIPT, name=f"test-{i}.h5"))
    assert store.manifest.stat().st_ino == inode
    assert store.manifest.read_bytes().startswith(before)
    assert len(ShardStore(tmp_path, {}).receipts) == 5


def test_the_last_line_of_a_shard_counts(tmp_path):
    store = filled(tmp_path)
    store.add(replace(store.receipts["train-000001.h5"], sha256="1" * 64))
    assert ShardStore(tmp_path, {}).receipts["train-000001.h5"].sha256 == "1" * 64
    assert len(ShardStore(tmp_path, {}).receipts) == 3


@pytest.mark.parametrize("cut", [1, 2, 30, 200])
def test_a_torn_last_line_is_ignored_and_then_written_over(tmp_path, cut):
    store = filled(tmp_path)
    data = store.manifest.read_bytes()
    store.manifest.write_bytes(data[:-cut])
    torn = ShardStore(tmp_path, {})
    assert (sorted(torn.receipts), torn.damaged) == (["train-000000.h5", "train-000001.h5"], 0)
    torn.add(receipts(3)[2])
    assert store.manifest.read_bytes() == data


def test_rot_in_a_line_costs_the_receipt_of_that_line(tmp_path):
    store = filled(tmp_path, 5)
    data = bytearray(store.manifest.read_bytes())
    lines, rng = data.count(b"\n"), np.random.default_rng(0)
    for _ in range(200):
        at, bit = int(rng.integers(len(data))), 1 << int(rng.integers(8))
        data[at] ^= bit
        store.manifest.write_bytes(data)
        found = ShardStore(tmp_path, {})
        number = store.manifest.read_bytes()[:at].count(b"\n")  # a line end that is lost joins two
        lost = {f"train-{n - 1:06d}.h5" for n in (number, number + 1)}
        assert set(store.receipts) - lost <= set(found.receipts)
        assert all(found.receipts[name] == store.receipts[name] for name in found.receipts)
        assert found.damaged or (len(found.receipts) == 4 and number == lines - 1)
        data[at] ^= bit
    store.manifest.write_bytes(data.replace(b'"start": 20', b'"start": 21'))
    rotten = ShardStore(tmp_path, {})
    rotten.add(store.receipts["train-000001.h5"])
    assert store.manifest.read_bytes() == data
    record("D6", "a bit of a manifest flipped: at most the two receipts beside it lost, none changed", 200)


def test_a_damaged_line_costs_its_shard(tmp_path):
    store = run(tmp_path).store
    text = store.manifest.read_text()
    store.manifest.write_text(text.replace('"start": 20', '"start": 21'))
    assert run(tmp_path).reused == 3
    assert ShardStore(store.folder, {}).damaged == 0
    store.manifest.write_bytes(b"")
    assert run(tmp_path).reused == 0
    assert ShardStore(store.folder, {}).receipts.keys() == store.receipts.keys()


@pytest.mark.parametrize("name", ["../out.h5", "/etc/passwd", "a/../../b.h5", "file:///etc/passwd", ".."])
def test_a_foreign_manifest_cannot_name_a_file_elsewhere(tmp_path, name):
    store = filled(tmp_path)
    store.add(replace(RECEIPT, name=name))
    assert name not in ShardStore(tmp_path, {}).receipts
    assert len(ShardStore(tmp_path, {}).receipts) == 3
    record("S13", f"a manifest that names {name}", 1)


@pytest.mark.parametrize(
    "body", [{"name": 3}, {"name": {}}, {"spec": 3}, {"name": "a.h5"}, {"spec": {}, "name": "a.h5"}, {}]
)
def test_foreign_lines_with_a_right_checksum_are_left_out(tmp_path, body):
    store = filled(tmp_path)
    with store.manifest.open("ab") as file:
        file.write(manifest.line(body) + manifest.line({**RECEIPT.__dict__, "name": ["a.h5"]}))
        file.write(manifest.line({"a": 1}).replace(b'{"a": 1}', b"{" * 3000 + b"}"))
    found = ShardStore(tmp_path, {})
    assert found.receipts == store.receipts
    assert found.damaged == 1


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_old_lines(tmp_path, monkeypatch, call):
    store, real = filled(tmp_path), getattr(os, call)
    data = store.manifest.read_bytes()

    def fail(handle, *what):
        if what and isinstance(what[0], memoryview):
            real(handle, what[0][:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(time, "monotonic", lambda: 1e9)  # long after the last sync
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(MachineError, match=r"manifest.jsonl could not be written: No space left on device"):
        store.add(replace(RECEIPT, name="late.h5"))
    assert store.manifest.read_bytes() == data
    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(MachineError):
        ShardStore(tmp_path, {}).add(replace(RECEIPT, name="late.h5"))
    monkeypatch.undo()
    ShardStore(tmp_path, {}).add(replace(RECEIPT, name="late.h5"))
    found = ShardStore(tmp_path, {})
    assert (len(found.receipts), found.damaged) == (4, 0)


def test_two_writers_at_once_lose_no_line_and_mix_none(tmp_path):
    """Only one process has the lock; where a file system breaks locks, there may be two."""
    one, two = filled(tmp_path), ShardStore(tmp_path, {})
    for i in range(20):
        one.add(replace(RECEIPT, name=f"one-{i}.h5"))
        two.add(replace(RECEIPT, name=f"two-{i}.h5"))
    found = ShardStore(tmp_path, {})
    assert (len(found.receipts), found.damaged) == (43, 0)


def test_shards_of_an_earlier_version_are_reused_and_listed_anew_with_the_next_one(tmp_path, capsys):
    shutil.copytree(OLD, tmp_path / "features")
    (folder,) = (tmp_path / "features").iterdir()
    old = ShardStore(folder, {})
    assert len(old.receipts) == 4
    assert old.spec["shard_rows"] == 20
    assert cli.main(["verify", str(tmp_path)]) == 0
    assert "1 sets of features with 4 shards" in capsys.readouterr().out
    assert run(tmp_path / "features").reused == 4
    assert not old.manifest.exists()
    lost = "train-00001-of-00002.h5"
    before, _ = old.read(lost)
    (folder / lost).unlink()
    assert run(tmp_path / "features").reused == 3
    assert {path.name for path in folder.glob("manifest*")} == {"manifest.jsonl"}
    new = ShardStore(folder, {})
    assert new.spec == old.spec
    assert np.allclose(new.read(lost)[0], before, atol=1e-6)  # another processor may round in another way
    del new.receipts[lost], old.receipts[lost]
    assert new.receipts == old.receipts
    assert cli.main(["verify", str(tmp_path)]) == 0


def test_a_damaged_manifest_of_an_earlier_version_is_not_believed(tmp_path, capsys):
    shutil.copytree(OLD, tmp_path / "features")
    (path,) = tmp_path.glob("features/*/manifest.json")
    path.write_text(path.read_text().replace('"start": 20', '"start": 21'))
    assert cli.main(["verify", str(tmp_path)]) == 4
    assert "1 damaged" in capsys.readouterr().out
    assert run(tmp_path / "features").reused == 0
    assert cli.main(["verify", str(tmp_path)]) == 0


def test_verify_tells_of_damaged_lines_and_of_shards_without_a_receipt(tmp_path, capsys):
    store = run(tmp_path / "features").store
    lines = store.manifest.read_bytes().splitlines(keepends=True)
    store.manifest.write_bytes(b"".join(lines[:-1]))
    assert cli.main(["verify", str(tmp_path)]) == 0
    assert f"{store.folder} holds 1 shards without a receipt" in capsys.readouterr().out
    store.manifest.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b'"stop"', b'"step"')]))
    assert cli.main(["verify", str(tmp_path)]) == 4
    assert f"{store.manifest} has 1 damaged lines" in capsys.readouterr().out


@pytest.mark.slow
def test_a_damaged_line_that_is_no_shards_is_mended_by_the_next_run(tmp_path, capsys):
    """No shard is computed again then, so nothing else would write the manifest."""
    features = run(tmp_path / "features")
    file = features.store.manifest
    good = file.read_bytes()
    file.write_bytes(good.replace(b'"spec"', b'"speC"', 1))
    assert cli.main(["verify", str(tmp_path)]) == 4
    assert "has 1 damaged lines" in capsys.readouterr().out
    again = run(tmp_path / "features")
    assert again.reused == len(again.store.receipts)
    assert sorted(file.read_bytes().splitlines()) == sorted(good.splitlines())
    assert cli.main(["verify", str(tmp_path)]) == 0


@pytest.mark.slow
def test_a_hundred_thousand_receipts_take_seconds(tmp_path):
    many = receipts(100_000)
    store, begin = ShardStore(tmp_path, {"a": 1}), time.monotonic()
    for receipt in many:
        store.add(receipt)
    store.flush()
    added = time.monotonic() - begin
    found, read = ShardStore(tmp_path, {}), time.monotonic() - begin - added
    size = store.manifest.stat().st_size
    assert len(found.receipts) == len(many)
    assert added < 60
    assert read < 15
    assert size < 40e6
    record("L7", "100,000 receipts added in less than 60 s, and read in less than 15 s", 1)
