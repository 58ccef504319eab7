"""Run what the README shows, from its first line to its last, in a folder with the files that it names."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.datasets import dump_svmlight_file, load_digits

from ntkrun.cli import main as cli
from ntkrun.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.S | re.M)
DOWNLOADED = "cifar10"  # composed, not run


@pytest.fixture
def place(tmp_path, monkeypatch, photos):
    """Work in a folder with the files that a reader would have; return it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NTKRUN_OUTPUT_DIR", raising=False)
    rows, labels = load_digits(n_class=3, return_X_y=True)
    images = rows.reshape(-1, 8, 8, 1)
    np.savez("mine.npz", x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
    dump_svmlight_file(rows, labels, "text.svm")
    with h5py.File("large.h5", "w") as file:
        file["x"], file["y"] = load_digits(return_X_y=True)
    return tmp_path


def test_everything_in_the_readme_runs(place, capsys):
    space, shown, ran = {}, "", 0
    for language, source in BLOCKS:
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(source, space)
        elif language == "sh":
            for line in source.splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] != ["ntkrun"]:
                    continue
                code, ran = _run(words[1:]), ran + 1
                captured = capsys.readouterr()
                shown = captured.out + captured.err
                assert code == (2 if "degree=1.5" in words else 0), (line, captured.err)
        elif "ntkrun: " in source:
            assert source == shown
        else:
            _same_names(source, shown)
    assert ran >= 14
    assert space["z"].shape == (1797, 4096)


def _run(words):
    if words[0] == "ui":
        with contextlib.redirect_stdout(io.StringIO()):
            return cli.main(["ui", "--help"])
    if any(DOWNLOADED in word for word in words):
        return cli.main([*words, "--cfg", "job"])
    return cli.main(words)


def _same_names(source, shown):
    """Compare the first word of each line: times and scores differ between machines."""
    if "make" in shown or not shown:
        return
    wanted = [line.split()[0] for line in source.splitlines() if line.strip() and line != "..."]
    given = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert [name for name in wanted if name in given] == wanted


def test_other_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    shell = [
        shlex.split(line, comments=True) for kind, s in BLOCKS if kind == "sh" for line in s.splitlines()
    ]
    targets = [words[1] for words in shell if words[:1] == ["make"]]
    assert {"run", "test"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)
    for name in re.findall(r"`ntkrun (\w+)", TEXT):
        assert name in COMMANDS


def test_links_lead_somewhere_and_lines_are_short():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if ":" not in link]
    assert len(links) > 10
    for link in links:
        assert (ROOT / link).exists(), link
    assert max(map(len, TEXT.splitlines())) <= 120
    assert len(TEXT.splitlines()) < 200
