"""Run what the pages show: example classes, commands, blocks of Python. The README has test_readme.py."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.cli.commands import COMMANDS
from scripts import reliability

ROOT = Path(__file__).resolve().parent.parent


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.S)


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Return the classes of docs/adding.md by the names of their files, and the folder of their yaml files.

    Files go where the page says, below another root.
    """
    text = (ROOT / "docs" / "adding.md").read_text()
    files = re.findall(
        r"^`(ntkrun|conf)/([\w/]+)/(\w+)\.(?:py|yaml)`:\n\n```\w+\n(.*?)```", text, re.S | re.M
    )
    assert len(files) == 8
    names = []
    for root, folder, name, source in files:
        path = tmp_path / root / folder / (f"{name}.py" if root == "ntkrun" else f"{name}.yaml")
        path.parent.mkdir(parents=True)
        path.write_text(source)
        if root == "ntkrun":
            package = import_module(f"ntkrun.{folder.replace('/', '.')}")
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(path.parent)])
            names.append(f"{package.__name__}.{name}")
    yield [import_module(name) for name in names], tmp_path / "conf"
    for name in names:
        del sys.modules[name]


def test_the_examples_of_adding_something_work_together(added, tmp_path, capsys):
    (arccos, *_), conf = added
    x = np.random.default_rng(0).normal(size=(20, 6))
    cls = arccos.ArcCosineFeatures
    grams = [z @ z.T for z in (cls(500, random_state=s, dtype="float64").fit_transform(x) for s in range(50))]
    truth = cls(dtype="float64").fit(x).kernel(x)
    assert np.allclose(np.mean(grams, 0), truth, atol=0.05 * truth.max())

    words = ["--config-dir", str(conf), "method=arccos", "dataset=moons", "feature_dim=256", "shard_rows=100"]
    words += ["baseline=none", f"output_dir={tmp_path / 'out'}"]
    grid = ["solver.lambda_min=1e-8", "solver.lambda_max=1e-1", "solver.lambda_count=8"]
    values = []
    for more in (["solver=ridge_svd", "executor=threads"], ["solver=ridge", "executor=serial"]):
        assert cli.main([*words, *grid, *more]) == 0, capsys.readouterr().err
        values.append(re.search(r"test accuracy (0\.\d+)", capsys.readouterr().out)[1])
    assert values[0] == values[1] > "0.8"
    assert cli.main([*words, "dataset.noise=-1"]) == 2
    assert "dataset.noise of Moons must be a finite number > 0. Got -1 instead." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("docs/sweeps.md", 6),
        ("docs/plan.md", 3),
        ("docs/executors.md", 4),
        ("docs/cntk_nystrom.md", 2),
        ("docs/confidence.md", 5),
        ("docs/images.md", 10),
        ("docs/tables.md", 4),
        ("docs/mlflow.md", 4),
        ("docs/choosing.md", 2),
    ],
)
def test_commands_of_a_page_compose(page, least, capsys):
    text = (ROOT / page).read_text()
    commands = [line.strip() for line in text.splitlines() if line.startswith("    ntkrun ")]
    assert len(commands) >= least
    for command in commands:
        words = shlex.split(command.replace("...", ""), comments=True)[1:]
        if words[0] in COMMANDS:
            assert cli.main([words[0], "--help"]) == 0
            assert f"usage: ntkrun {words[0]}" in capsys.readouterr().out
            continue
        if "-m" in words:
            swept = re.compile(r"=(?:range|choice)\(([^,)]*).*")
            words = [swept.sub(r"=\1", w).split(",")[0] for w in words if w != "-m"]
        code = cli.main([*words, *([] if "--cfg" in words else ["--cfg", "job"])])
        captured = capsys.readouterr()
        assert code == 0, (command, captured.err)
        assert "feature_dim:" in captured.out


def test_the_python_of_the_page_for_scikit_learn_runs():
    space = {}
    for source in blocks(ROOT / "docs" / "sklearn.md", "python"):
        exec(source, space)
    assert space["search"].best_score_ > 0.8


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_runs_from_its_first_line_to_its_last(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NTKRUN_OUTPUT_DIR", raising=False)
    text = (ROOT / "docs" / "tutorial.md").read_text()
    for language, source in re.findall(r"```(sh|python)\n(.*?)```", text, re.S):
        if language == "python":
            exec(source, {})
            continue
        for line in source.splitlines():
            words = shlex.split(line, comments=True)
            if words[0] == "ntkrun":  # the others install it
                wanted = 2 if "exit code 2" in line else 0
                assert cli.main(words[1:]) == wanted, (line, capsys.readouterr().err)
    out = capsys.readouterr()
    assert "12 jobs: 12 ok" in out.out
    assert "12 skipped" in out.out
    assert "depth of CNTKSketch must be an integer in [1, 100]. Got 0 instead." in out.err
    assert float(out.out.splitlines()[-1]) > 0.97  # accuracy on all digits, from the last block


def test_the_table_of_situations_on_the_reliability_page_is_that_of_the_tests():
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert reliability.with_situations(text) == text
    assert text.count(reliability.SITUATIONS) == 1
    assert reliability.situations().count("\n| ") > 60
