"""The house rules: yaml, registry and classes in step; imports in one direction; experiments run."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from ntkrun import cli, datasets
from ntkrun.maths import method as methods

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
METHODS = sorted(p.stem for p in (CONF / "method").glob("*.yaml"))
DATASETS = sorted(p.stem for p in (CONF / "dataset").glob("*.yaml"))
EXPERIMENTS = sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 9, 8, 2)) + 2 * RNG.normal(size=(6, 1, 1, 2))  # a colour cast each


def parameters(cls):
    return set(inspect.signature(cls).parameters)


@pytest.mark.parametrize("name", METHODS)
def test_method_yaml_names_every_constructor_argument(name):
    section = OmegaConf.load(CONF / "method" / f"{name}.yaml")
    assert section.pop("name") == name
    assert set(section) == parameters(methods.get(name))


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_yaml_names_arguments_that_exist(name):
    section = OmegaConf.load(CONF / "dataset" / f"{name}.yaml")
    assert set(section) - {"name"} <= parameters(datasets.get(section["name"]))


def test_registries_and_folders_are_in_step():
    assert set(methods.METHODS) == set(METHODS)
    assert set(datasets.DATASETS) == {
        OmegaConf.load(CONF / "dataset" / f"{n}.yaml")["name"] for n in DATASETS
    }


def make(name, **options):
    cls = methods.get(name)
    # wide enough for grad_rf, whose columns must hold a whole network on 144 pixels
    size = {"n_components": 16384 if name == "grad_rf" else 2048} if "n_components" in parameters(cls) else {}
    return cls(**size, **options)


@pytest.mark.parametrize("name", METHODS)
def test_contract_of_a_method(name):
    method = make(name, dtype="float64").fit(IMAGES)
    k = method.kernel(IMAGES)
    assert k.shape == (6, 6)
    assert np.allclose(k, k.T)
    assert np.linalg.eigvalsh(k).min() > -1e-9 * np.trace(k)
    assert np.allclose(method.kernel(IMAGES, IMAGES[:4]), k[:, :4])
    assert method.bytes_per_row((9, 8, 2)) > 0
    assert method.identity()["version"] == type(method).version
    if method.kind == "kernel":
        ix, iy = np.array([0, 3, 5]), np.array([2, 3, 1])
        assert np.allclose(method.pairs(IMAGES, IMAGES, ix, iy), k[ix, iy])
        return
    z = method.transform(IMAGES)
    assert z.shape == (6, method.columns)
    assert np.allclose(z, method.transform(IMAGES[:4]).tolist() + method.transform(IMAGES[4:]).tolist())
    assert np.array_equal(z, make(name, dtype="float64").fit(IMAGES).transform(IMAGES))
    assert make(name).fit(IMAGES).transform(IMAGES).dtype == np.float32
    off = ~np.eye(6, dtype=bool)
    assert np.corrcoef((z @ z.T)[off], k[off])[0, 1] > 0.8
    if "random_state" in parameters(methods.get(name)):
        assert not np.allclose(z, make(name, dtype="float64", random_state=1).fit_transform(IMAGES))


def test_public_names_load_on_use():
    import ntkrun

    assert {getattr(ntkrun, n).__name__ for n in ntkrun.__all__} == set(ntkrun.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ntkrun.Nothing


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_on_tiny_data(name, tiny_npz, tmp_path, capsys):
    words = [
        f"experiment={name}",
        "dataset=npz",
        f"dataset.path={tiny_npz}",
        "dataset.n_train=100",
        "dataset.n_test=40",
    ]
    words += ["feature_dim=64", "baseline=none", f"output_dir={tmp_path / 'out'}"]
    # 3 x 2 positions are left of 7 x 6 by a 5 x 5 filter; a mirror image has the other class here
    words += {
        "cifar10_patches": ["method.cells=1"],
        "cifar10_random_patches": ["filter_size=3", "dataset.augment=none", "solver.lambda_max=1"],
    }.get(name, [])
    words += ["study_size.rows=12", "study_size.trials=2", "study_size.feature_dim=2048"]
    code = cli.main(words)
    assert code == 0, capsys.readouterr().err
    folder = next((tmp_path / "out").glob("runs/*"))
    result = json.loads((folder / "result.json").read_text())
    assert result["mlflow/run_id"]
    if name.startswith("theorem"):
        assert [k for k in result if k.startswith("slope/")]
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
    else:
        # averages over all positions hardly tell left from right, which is the class here
        assert result["test/accuracy"] > (0.6 if "patches" in name else 0.8)


LEFT_TO_RIGHT = [
    "maths",
    "datasets store",
    "mlmodel",
    "model",
    "serving stages",
    "pipeline report sweep optimiser",
    "commands",
    "helptext",
    "launch",
    "cli",
]
OUTSIDE_MATHS = ("hydra", "omegaconf", "mlflow", "h5py", "pooch", "matplotlib", "rich", "filelock")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_imports_go_one_way():
    rank = {name: i for i, names in enumerate(LEFT_TO_RIGHT) for name in names.split()}
    bad = []
    for path in (ROOT / "ntkrun").rglob("*.py"):
        mine = rank.get(path.relative_to(ROOT / "ntkrun").parts[0].removesuffix(".py"))
        for module in imports_of(path):
            parts = module.split(".")
            if parts[0] == "ntkrun" and len(parts) > 1 and mine is not None and rank.get(parts[1], -1) > mine:
                bad.append(f"{path.name} imports {module}")
    assert not bad


def loaded_by(module):
    code = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_maths_loads_no_shell_and_the_check_can_fail():
    assert not loaded_by("ntkrun.maths.method.cntk_sketch, ntkrun.maths.ridge.normal") & set(OUTSIDE_MATHS)
    assert "h5py" in loaded_by("ntkrun.stages.featurize")


# what a run hands to its own workers: the checksum of the file comes with the task, not with the file
OWN_PICKLES = {"ntkrun/executor/shared.py": "pickle.loads"}


def test_no_code_bearing_loader_in_the_package():
    for path in (ROOT / "ntkrun").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if OWN_PICKLES.get(path.relative_to(ROOT).as_posix()) == called:
                    continue
                assert called not in (
                    "eval",
                    "exec",
                    "pickle.load",
                    "pickle.loads",
                    "torch.load",
                    "joblib.load",
                ), path
                assert not called.endswith("extractall"), path
                for keyword in node.keywords:
                    assert ast.unparse(keyword.value) != "True" or keyword.arg not in (
                        "shell",
                        "allow_pickle",
                    ), path


def test_files_stay_small():
    for path in [*(ROOT / "ntkrun").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 340, path
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
