"""Check imports: no module imports one of a higher rank, and there are no circles."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ntkrun"
# low to high; a name is a module, or a folder with all modules in it that are not listed themselves
RANKS = [
    ["ntkrun", "errors"],
    ["checks", "log", "progress", "registry"],
    ["machine"],
    ["maths.documented"],
    [
        "maths.rng",
        "maths.eigen",
        "maths.threads",
        "maths.layout",
        "maths.metrics",
        "maths.sparse",
    ],
    ["maths.dual", "maths.sketch", "maths.sampling"],
    ["maths.kernel", "maths.network"],
    ["maths.ridge"],
    ["maths.method"],
    ["maths.estimators", "maths"],
    ["store"],
    ["executors", "datasets"],
    ["model", "solvers"],
    ["stages", "tracking"],
    ["report", "serving"],
    ["studies"],
    ["config"],
    ["pipeline"],
    ["cli"],
    ["__main__"],
]
OUTSIDE_MATHS = ("hydra", "omegaconf", "mlflow", "h5py", "pooch", "matplotlib", "rich", "filelock")


def name_of(path, package=PACKAGE):
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source, modules):
    """Yield the imports of a source, also inside functions; `from package import module` is the module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else node.module


def rank_of(module):
    """Return the rank of a module; None if it has none."""
    parts = module.removeprefix("ntkrun.").split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        for rank, names in enumerate(RANKS):
            if name in names:
                return rank
    return None


def breaches(sources):
    """Return a sentence per breach in {module: source}."""
    graph = {name: set(imports_of(source, sources)) for name, source in sources.items()}
    graph |= {"ntkrun": set()}  # its imports serve type checkers only
    out = [f"{name} has no rank" for name in graph if rank_of(name) is None]
    for name, imported in graph.items():
        if name.startswith("ntkrun.maths"):
            out += [f"{name} imports {i}" for i in imported if i.split(".")[0] in OUTSIDE_MATHS]
        for other in imported & graph.keys():
            low, high = rank_of(name), rank_of(other)
            if low is not None and high is not None and high > low:
                out.append(f"{name} imports {other}")
    try:
        TopologicalSorter({name: imported & graph.keys() for name, imported in graph.items()}).prepare()
    except CycleError as error:
        out.append(f"a circle: {' <- '.join(error.args[1])}")
    return out


def test_imports_go_one_way():
    assert breaches({name_of(path): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}) == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"ntkrun.store.a": "import ntkrun.pipeline", "ntkrun.pipeline": ""}, "imports ntkrun.pipeline"),
        ({"ntkrun.store.a": "from ntkrun import pipeline", "ntkrun.pipeline": ""}, "imports ntkrun.pipeline"),
        (
            {"ntkrun.maths.a": "def f():\n    from ntkrun.stages import data", "ntkrun.stages.data": ""},
            "ntkrun.maths.a imports ntkrun.stages.data",
        ),
        (
            {"ntkrun.maths.dual.a": "from ntkrun.maths.method import rff", "ntkrun.maths.method.rff": ""},
            "rff",
        ),
        ({"ntkrun.maths.a": "import h5py"}, "ntkrun.maths.a imports h5py"),
        ({"ntkrun.maths.a": "from omegaconf import OmegaConf"}, "ntkrun.maths.a imports omegaconf"),
        ({"ntkrun.other": ""}, "ntkrun.other has no rank"),
        (
            {
                "ntkrun.store.a": "from ntkrun.store import b",
                "ntkrun.store.b": "from ntkrun.store.a import x",
            },
            "a circle",
        ),
    ],
)
def test_every_kind_of_breach_is_found(sources, expected):
    (found,) = breaches(sources)
    assert expected in found


def loaded_by(module):
    code = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_maths_loads_no_shell_and_the_check_can_fail():
    assert not loaded_by("ntkrun.maths.method.cntk_sketch, ntkrun.maths.ridge.normal") & set(OUTSIDE_MATHS)
    assert "h5py" in loaded_by("ntkrun.stages.featurize")


def test_the_report_loads_no_hydra():
    assert not loaded_by("ntkrun.report.page, ntkrun.report.collect") & {"hydra", "omegaconf", "torch"}


def test_the_root_of_the_package_is_a_dozen_modules():
    assert len(list(PACKAGE.glob("*.py"))) <= 12
    assert all(len(path.read_text().splitlines()) <= 300 for path in PACKAGE.rglob("*.py"))
