"""Test `ntkrun clean`: what an output folder holds, what is needed, and what is removed."""

import io
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from ntkrun.cli import main as cli
from ntkrun.datasets.digits import Digits
from ntkrun.errors import MachineError
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.stages import featurize
from ntkrun.store import inventory, lock
from ntkrun.store.atomic import write_json
from tests.faults.plan import record

DAY = 86400.0
RUN = ["dataset.n_train=60", "dataset.n_test=20", "method=rff", "feature_dim=16", "baseline=none"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a finished run, and features that no run refers to."""
    out = tmp_path_factory.mktemp("clean") / "outputs"
    assert cli.main([*RUN, f"output_dir={out}"]) == 0
    split = Digits(n_train=60, n_test=20).load()
    featurize.run(split, RandomFourierFeatures(n_components=9), out / "features", 20)
    return out


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "outputs", symlinks=True)


def result(out):
    (path,) = out.glob("runs/*/result.json")
    return json.loads(path.read_text())


def needed(out):
    return out / "features" / result(out)["features_key"]


def other(out):
    (folder,) = set((out / "features").iterdir()) - {needed(out)}
    return folder


def tree(folder):
    """Return all paths, sizes and times below a folder."""
    return {p: (p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*")}


def age(path, days):
    """Make a folder and its files look as if last used so many days ago."""
    at = time.time() - days * DAY
    for one in [*path.glob("*"), path] if path.is_dir() else [path]:
        os.utime(one, (at, at), follow_symlinks=False)


def clean(out, *words):
    return cli.main(["clean", str(out), *words])


def test_features_that_no_run_needs_are_removed_and_all_else_stays_consistent(out, capsys):
    keep, drop, before = needed(out), other(out), tree(out / "runs")
    (status,) = out.glob("runs/*/status.json")
    assert json.loads(status.read_text())["features_key"] == keep.name
    assert clean(out, "--yes") == 0
    text = capsys.readouterr().out
    assert f"needed by {result(out)['run_folder'].rpartition('/')[2]}" in text
    assert "removed 1 sets of features" in text
    assert not drop.exists()
    assert keep.is_dir()
    assert tree(out / "runs") == before
    for words in (["verify", out], ["list", out], ["report", out], ["sync", out]):
        assert cli.main([str(word) for word in words]) == 0
    capsys.readouterr()
    assert clean(out, "--yes") == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_needed_features_go_once_they_are_old_and_the_same_run_computes_them_again(out, capsys):
    keep, key = needed(out), result(out)["features_key"]
    assert clean(out, "--yes", "--older-than", "30d") == 0
    assert keep.is_dir()
    age(keep, 31)
    assert clean(out, "--yes", "--older-than", "30d") == 0
    assert not keep.exists()
    assert not list((out / "features").iterdir())
    (run,) = out.glob("runs/*")
    assert cli.main(["verify", str(out)]) == 0
    assert cli.main(["rerun", str(run)]) == 0
    assert "the same numbers" in capsys.readouterr().out
    assert (out / "features" / key).is_dir()


def test_a_dry_run_prints_and_touches_nothing(out, capsys):
    (needed(out) / ".tmp-old").write_bytes(b"1")
    age(needed(out), 50)
    before = tree(out)
    assert clean(out, "--dry-run", "--older-than", "4w") == 0
    text = capsys.readouterr().out
    assert "would remove 2 sets of features" in text
    assert "1 files of killed processes" in text
    assert other(out).name in text
    assert tree(out) == before


def test_a_live_lock_is_never_touched(out, capsys):
    folder = other(out)
    before = tree(folder)
    with lock.held(folder / ".lock", "output_dir"):
        assert clean(out, "--yes", "--older-than", "0h") == 0
        assert {p: v for p, v in tree(folder).items() if not p.name.startswith(".lock")} == {
            p: v for p, v in before.items() if not p.name.startswith(".lock")
        }
    assert "in use" in capsys.readouterr().out
    found = inventory.inventory(out).features[-1]
    with lock.held(found.folder / ".lock", "output_dir"):  # a run came in after the look
        assert not inventory.remove(found)
    assert not inventory.remove(found)  # and used the features
    assert found.folder.is_dir()
    record("P6", "clean beside a run that holds the lock, before and after clean looks", 2)


def test_a_run_that_waits_for_a_removed_folder_makes_it_again(out):
    folder, entered = other(out), threading.Event()

    def wait():
        with lock.held(folder / ".lock", "output_dir"):
            entered.set()

    with lock.free(folder / ".lock") as mine:
        assert mine
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.3)
        shutil.rmtree(folder)
    assert entered.wait(20)
    waiting.join()
    assert folder.is_dir()


@pytest.mark.parametrize("status", ["KILLED", "DIED", "RUNNING", "elsewhere"])
def test_unfinished_runs_can_go_on(out, status):
    folder = other(out)
    run = out / "runs" / "2026-01-01_00-00-00_digits-rff_abcd"
    write_json(run / "config.json", {"seed": 0})
    about = {"status": "RUNNING", "pid": os.getpid(), "host": os.uname().nodename, "started": time.time() - 9}
    about |= {"KILLED": {"status": "KILLED"}, "DIED": {"pid": 2**22}, "elsewhere": {"host": "x"}}.get(
        status, {}
    )
    write_json(run / "status.json", {**about, "features_key": folder.name})
    assert clean(out, "--yes") == 0
    assert folder.is_dir()
    assert clean(out, "--yes", "--older-than", "0h") == 0
    assert folder.is_dir() == (status in ("RUNNING", "elsewhere"))


def test_features_in_use_by_a_run_that_does_not_tell_their_key_are_known_by_their_times(out):
    folder, run = other(out), out / "runs" / "2026-01-01_00-00-00_digits-rff_abcd"
    write_json(run / "config.json", {"seed": 0})
    about = {"status": "RUNNING", "pid": os.getpid(), "host": os.uname().nodename}
    write_json(run / "status.json", {**about, "started": folder.stat().st_mtime - 5})
    assert clean(out, "--yes", "--older-than", "0h") == 0
    assert folder.is_dir()
    write_json(run / "status.json", {**about, "started": time.time() + 1000})
    assert clean(out, "--yes") == 0
    assert not folder.exists()


def test_what_a_damaged_run_folder_needs_is_not_known(out, capsys):
    (path,) = out.glob("runs/*/config.json")
    path.write_text("{")
    assert clean(out, "--yes") == 0
    assert "which cannot be read" in capsys.readouterr().out
    assert len(list((out / "features").iterdir())) == 2
    age(out / "features" / sorted(os.listdir(out / "features"))[0], 3)
    assert clean(out, "--yes", "--older-than", "2d") == 0
    assert len(list((out / "features").iterdir())) == 1


def test_the_exact_kernel_of_a_run_of_an_earlier_version_is_needed(out):
    (path,) = out.glob("runs/*/result.json")
    write_json(path, {**result(out), "exact/time_kind": "measured"})
    assert clean(out, "--yes") == 0
    assert other(out).is_dir()
    write_json(path, {**result(out), "exact/features_key": "0" * 24})
    assert clean(out, "--yes") == 0
    assert not (set((out / "features").iterdir()) - {needed(out)})


@pytest.mark.parametrize("what", ["a key", "a file", "features", "runs"])
def test_links_are_never_followed(out, tmp_path, what, capsys):
    outside = tmp_path / "outside"
    folder = other(out)
    if what == "features":
        (out / "features").rename(outside)
        (out / "features").symlink_to(outside)
    elif what == "a key":
        folder.rename(outside)
        folder.symlink_to(outside)
    elif what == "runs":
        (out / "runs").rename(outside)
        (out / "runs").symlink_to(outside)
        (next(outside.iterdir()) / ".tmp-x").write_bytes(b"1")
        age(next(outside.iterdir()) / ".tmp-x", 3)
    else:
        outside.mkdir()
        for name in ("train-00000-of-00001.h5", "manifest.jsonl"):
            (folder / name).unlink(missing_ok=True)
            (outside / name).write_bytes(b"mine")
            (folder / name).symlink_to(outside / name)
    before = tree(outside)
    assert clean(out, "--yes", "--older-than", "0h") == 0
    assert tree(outside) == before
    text = capsys.readouterr().out
    if what in ("a key", "features"):
        assert "a link, which is left alone" in text
    elif what == "a file":
        assert "holds what ntkrun has not made" in text
        assert {path.is_symlink() for path in folder.iterdir()} == {True}
    else:
        assert not list((out / "features").iterdir())
    record("S5", f"clean of an output folder with a link that leads out: {what}", 1)


def test_files_of_others_stay(out):
    folder = other(out)
    (folder / "notes.txt").write_text("mine")
    (out / "features" / "mine").mkdir()
    assert clean(out, "--yes") == 0
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert (out / "features" / "mine").is_dir()


def test_leftovers_of_killed_processes_go_after_a_day(out, capsys):
    (run,), folder = out.glob("runs/*"), needed(out)
    old = [
        out / ".tmp-a",
        run / ".tmp-b",
        run / "model" / ".tmp-c",
        folder / ".tmp-d",
        out / "runs" / ".tmp-e",
    ]
    for path in old:
        path.write_bytes(b"1")
    for path in (out / ".jobs-x", out / ".doctor-x"):
        path.mkdir()
        (path / "pickle").write_bytes(b"1")
        old.append(path)
    assert clean(out, "--yes") == 0
    assert all(path.exists() for path in old)
    for path in old:
        age(path, 2)
    used = folder.stat().st_mtime_ns
    assert clean(out, "--yes") == 0
    assert not any(path.exists() for path in old)
    assert "removed 7 files of killed processes" in capsys.readouterr().out
    assert folder.stat().st_mtime_ns == used
    assert cli.main(["verify", str(out)]) == 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("answer", "gone"), [("y\n", True), ("yes\n", True), ("n\n", False), ("", False)])
def test_it_asks(out, monkeypatch, answer, gone, capsys):
    folder = other(out)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert clean(out) == 0
    assert capsys.readouterr().err.startswith("Remove 1 sets of features, ")
    assert folder.exists() != gone


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "input of ntkrun clean must be a terminal, to be asked. Got 'none' instead. Add --yes"),
        (
            ["--older-than", "soon"],
            2,
            "--older-than of ntkrun clean must be a number of hours, days or weeks",
        ),
        (["--older-than", "-3d"], 2, "expected one argument"),
        (["--older-than", "30"], 2, "like 12h, 30d or 8w. Got '30' instead."),
        (["--older-than", "٣d"], 2, "like 12h, 30d or 8w"),
    ],
)
def test_bad_input_is_one_line_and_removes_nothing(out, words, code, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    before = tree(out)
    assert clean(out, *words) == code
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert tree(out) == before


def test_no_output_folder_and_an_empty_one(tmp_path, capsys):
    assert clean(tmp_path / "none", "--yes") == 3
    assert f"{tmp_path / 'none'} is not there" in capsys.readouterr().err
    assert clean(tmp_path) == 0
    assert "holds no features" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_removed_is_told(out, monkeypatch, capsys):
    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    found = inventory.inventory(out).features
    with pytest.raises(MachineError, match=r"could not be removed: Permission denied"):
        inventory.remove(found[0])
    assert clean(out, "--yes") == 5


def test_for_programs(out, capsys):
    drop = other(out).name
    assert clean(out, "--json", "--dry-run") == 0
    about = json.loads(capsys.readouterr().out)
    assert {one["key"]: one["remove"] for one in about["features"]} == {drop: True, needed(out).name: False}
    assert all(one["bytes"] > 1000 and one["used"] > 1e9 for one in about["features"])
    assert clean(out, "--json", "--yes") == 0
    assert json.loads(capsys.readouterr().out)["removed"] == [drop]
