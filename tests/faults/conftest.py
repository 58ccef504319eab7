import shutil
import sys

import pytest

from tests.faults.harness import Toy, build_shim


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Start the toy run's fork server."""
    if not sys.platform.startswith("linux") or shutil.which("gcc") is None:
        pytest.skip("faults are injected by a library that gcc builds, on Linux")
    folder = tmp_path_factory.mktemp("toy")
    made = Toy(folder, build_shim(folder))
    yield made
    made.close()


@pytest.fixture(scope="module")
def good(toy):
    """Make a finished run; tests damage copies of it."""
    out = toy.fresh()
    assert toy.start(out).code == 0
    return out
