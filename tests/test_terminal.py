"""Test colours, help and short ids: what a person at a terminal meets."""

import io
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ntkrun import log
from ntkrun.cli import help as texts
from ntkrun.cli import main as cli
from ntkrun.cli.commands import COMMANDS
from ntkrun.cli.commands import help as helping
from ntkrun.store.runs import incidental

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]


def on_a_terminal(words, **env):
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "ntkrun", *words]
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=clean | env)
    os.close(theirs)
    out = b""
    try:
        while block := os.read(ours, 1 << 16):
            out += block
    except OSError:  # the end of a terminal
        pass
    child.wait()
    os.close(ours)
    return out.decode().replace("start      loading libraries\r\n", "")  # said where that is slow


def test_errors_are_red_on_a_terminal_unless_forbidden():
    red = on_a_terminal(["feature_dims=3"])
    assert red.startswith("\x1b[31mntkrun: ")
    assert red.endswith("\x1b[0m\r\n")
    plain = on_a_terminal(["feature_dims=3"], NO_COLOR="1")
    assert plain == on_a_terminal(["feature_dims=3"], TERM="dumb") == red[5:].replace("\x1b[0m", "")
    assert on_a_terminal(["feature_dims=3"], NO_COLOR="") == red  # empty does not count: no-color.org


def test_scores_are_bold_warnings_yellow_and_pipes_plain(tmp_path, monkeypatch, capsys):
    said = on_a_terminal([*TINY, f"output_dir={tmp_path / 'out'}"])
    assert "\x1b[1mtest accuracy 0." in said
    assert cli.main([*TINY, f"output_dir={tmp_path / 'out'}"]) == 0
    logging.getLogger("ntkrun.x").warning("careful")
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    log.to_terminal()
    for level in ("info", "warning", "error"):
        getattr(logging.getLogger("ntkrun.x"), level)(level)
    assert sys.stderr.getvalue() == "info\n\x1b[33mwarning\x1b[0m\n\x1b[31merror\x1b[0m\n"


def test_the_first_help_is_one_screen(capsys):
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 66
    assert max(map(len, lines)) <= 110
    text = "\n".join(lines)
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert all(f"  {key}" in text for key in texts.MAIN)
    assert "docs/tutorial.md" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name, capsys):
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: ntkrun {name}" in out
    assert f"  ntkrun {name}" in out.split("usage", 1)[1].partition("\n")[2]


def test_a_method_is_explained_with_meaning_and_defaults(capsys):
    for words in (["help", "ntk_nystrom"], ["--help", "method=ntk_nystrom"], ["help", "method=ntk_nystrom"]):
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert out.startswith("method=ntk_nystrom\n")
        assert out.splitlines()[1].startswith("Nystrom features")
        assert "  method.bias: 0.0 " in out
        assert "# of the first layer" in out
    # inherited keys keep their meaning
    assert "  dataset.valid_fraction: 0.2" in helping.explained("protein")
    assert "dataset=cifar10" in helping.explained("cifar10")
    assert "experiment=cifar10" in helping.explained("cifar10")
    assert helping.explained("feature_dim").startswith("  feature_dim: 1024")
    assert "of exact_ntk, " in helping.explained("method.bias")
    assert "  ntk_sketch " in helping.explained("method")
    assert "shard_rows" in helping.explained("keys")


def test_everything_has_a_meaning():
    for group in texts.GROUPS:
        for name in texts.choices(group):
            assert helping.meaning(group, name), (group, name)
            assert helping.explained(f"{group}={name}")


def test_an_unknown_topic_gets_the_nearest(capsys):
    assert cli.main(["help", "ntk_nystorm"]) == 2
    assert "Did you mean ntkrun help ntk_nystrom?" in capsys.readouterr().err


@pytest.fixture
def two(tmp_path, monkeypatch, capsys):
    """Make the usual folder, with two runs, the second one of a sweep; return the ids."""
    out = tmp_path / "out"
    monkeypatch.setenv("NTKRUN_OUTPUT_DIR", str(out))
    monkeypatch.chdir(tmp_path)
    assert cli.main(TINY) == 0
    (first,) = out.glob("runs/*")
    assert cli.main(["-m", *TINY, "seed=1"]) == 0
    (second,) = set(out.glob("runs/*")) - {first}
    capsys.readouterr()
    return first, second


def say(capsys, *words):
    code = cli.main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_every_command_takes_the_id_of_a_run(two, capsys, tmp_path):
    a, b = (folder.name.rpartition("_")[2] for folder in two)
    code, text, _ = say(capsys, "list", a)
    assert code == 0
    assert (a in text, b in text) == (True, False)
    assert say(capsys, "compare", a, b)[0] == 0
    assert "the same numbers" in say(capsys, "rerun", a)[1]
    assert say(capsys, "export", a, str(tmp_path / "model"))[0] == 0
    code, text, _ = say(capsys, "report", a)
    assert (code, text) == (0, f"1 run in {two[0] / 'report.html'}\n")
    assert say(capsys, "verify", a)[1].endswith(
        "1 sets of features with 3 shards and 1 run folders: nothing damaged\n"
    )
    assert say(capsys, "verify", "latest")[0] == 0
    assert say(capsys, "sync", b)[1] == f"0 runs published; {two[1].name} is in its MLflow store\n"
    (sweep,) = Path("out/sweeps").iterdir()
    assert say(capsys, "report", sweep.name)[1].endswith(f"1 run in {sweep.absolute() / 'report.html'}\n")
    assert say(capsys, "list", "zzzz")[0] == 3


def test_the_id_of_a_failed_run_says_so(two, capsys):
    status = two[0] / "status.json"
    status.write_text(status.read_text().replace("FINISHED", "FAILED"))
    a = two[0].name[-4:]
    for words in (["compare", a, "latest"], ["export", a, "model"], ["sync", a], ["rerun", a]):
        code, _, err = say(capsys, *words)
        assert code == 3
        assert "FAILED" in err
        assert two[0].name in err


def test_one_rule_says_which_keys_change_no_result():
    assert incidental("tracking.uri")
    assert incidental("features")
    assert incidental("dataset.data_dir")
    assert not incidental("features_dtype")
    assert not incidental("dataset.path")
    assert not incidental("method.features")
