"""Check that yaml files, registry and classes agree, imports go one way and experiments run."""

import ast
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from ntkrun.cli import main as cli
from ntkrun.datasets import DATASETS
from ntkrun.datasets.preprocess import PREPROCESS
from ntkrun.errors import ConfigError
from ntkrun.executors import EXECUTORS
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.solvers import SOLVERS
from ntkrun.studies import STUDIES

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
EXPERIMENTS = sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 9, 8, 2)) + 2 * RNG.normal(size=(6, 1, 1, 2))  # each image has a colour cast


def parameters(cls):
    return set(inspect.signature(cls).parameters)


def composed(group, name):
    """Return the keys of a yaml file and those that it inherits."""
    section = OmegaConf.load(CONF / group / f"{name}.yaml")
    for base in section.pop("defaults", []):
        if base != "_self_":
            section = OmegaConf.merge(composed(group, base), section)
    return section


@pytest.mark.parametrize("name", METHODS.names)
def test_method_yaml_names_every_constructor_argument(name):
    section = composed("method", name)
    assert section.pop("name") == name
    assert set(section) == parameters(METHODS.get(name))


GROUPS = {"dataset": DATASETS, "method": METHODS, "solver": SOLVERS, "executor": EXECUTORS}


@pytest.mark.parametrize("group", GROUPS)
def test_registry_and_yaml_files_are_in_step(group):
    """Every yaml file names a class and its arguments; every class has a yaml file."""
    registry = GROUPS[group]
    sections = [composed(group, path.stem) for path in (CONF / group).glob("[!_]*.yaml")]
    assert {section["name"] for section in sections} == set(registry.names)
    for section in sections:
        assert set(section) - {"name", "rows"} <= parameters(registry.get(section["name"]))


@pytest.mark.parametrize("registry", [*GROUPS.values(), STUDIES, PREPROCESS], ids=lambda r: r.kind)
def test_a_registry_gives_each_class_under_its_name_and_refuses_the_rest(registry):
    assert len(registry.names) > 1
    for name in registry.names:
        assert registry.get(name).name == name
    for other in ("base", "nothing", "..errors", "os", ""):
        with pytest.raises(ConfigError, match=f"name of {registry.kind} must be one of {registry.names[0]}"):
            registry.get(other)


def make(name, **options):
    cls = METHODS.get(name)
    # grad_rf needs columns for a whole network on 144 pixels, and ntk_nystrom fewer than rows to use its seed
    columns = {"grad_rf": 16384, "ntk_nystrom": 4}.get(name, 2048)
    return cls(**({"n_components": columns} if "n_components" in parameters(cls) else {}), **options)


@pytest.mark.parametrize("name", METHODS.names)
def test_contract_of_a_method(name):
    method = make(name, dtype="float64").fit(IMAGES)
    k = method.kernel(IMAGES)
    assert k.shape == (6, 6)
    assert np.allclose(k, k.T)
    assert np.linalg.eigvalsh(k).min() > -1e-9 * np.trace(k)
    assert np.allclose(method.kernel(IMAGES, IMAGES[:4]), k[:, :4])
    assert method.bytes_per_row((9, 8, 2)) > 0
    assert method.identity()["version"] == type(method).version
    if isinstance(method, KernelMethod):
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
    if "random_state" in parameters(METHODS.get(name)):
        assert not np.allclose(z, make(name, dtype="float64", random_state=1).fit_transform(IMAGES))


def test_public_names_load_on_use():
    import ntkrun

    assert {getattr(ntkrun, n).__name__ for n in ntkrun.__all__} == set(ntkrun.__all__)
    assert dir(ntkrun) == sorted([*ntkrun.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ntkrun.Nothing


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n.startswith("theorem_") else n for n in EXPERIMENTS],
)
def test_every_experiment_runs_on_tiny_data(name, tiny_npz, tmp_path, capsys):
    words = [
        f"experiment={name}",
        "dataset=npz",
        f"dataset.path={tiny_npz}",
        "dataset.n_train=100",
        "dataset.n_test=40",
    ]
    words += ["feature_dim=64", "baseline=none", f"output_dir={tmp_path / 'out'}"]
    # a 5 x 5 filter leaves 3 x 2 of 7 x 6 positions; a mirror image has the other class here
    left_from_right = ["filter_size=3", "method.mirror=false", "solver.lambda_max=1"]
    parts = [
        "+method.parts.ckn.mirror=false",
        "method.parts.random_patches.mirror=false",
        "method.parts.random_patches.filter_size=3",
        "solver.lambda_max=1",
    ]
    words += {
        "cifar10_5min": left_from_right,
        "cifar10_15min": parts,
        "cifar10_60min": [
            *parts,
            "method.parts.ckn.n_components=32",
            "method.parts.small_patches.mirror=false",
        ],
        "cifar10_patches": ["method.cells=1"],
        "cifar10_tangent": ["method.cells=1", "method.dim=16", "solver.lambda_max=1"],
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
        # averages over all positions hardly tell left from right, the class here
        assert result["test/accuracy"] > (0.6 if "patches" in name or "min" in name else 0.8)


# workers get the file's checksum with the task, not from the file
OWN_PICKLES = {"ntkrun/executors/shared.py": "pickle.loads"}


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
