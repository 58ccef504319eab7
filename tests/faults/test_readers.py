"""Change bytes of valid archives, tables, IDX files and manifests: read whole, or one line says why not."""

import os
import random
import subprocess
import sys

import pytest

from ntkrun.errors import NtkrunError
from tests.faults.plan import SEED, count, record
from tests.faults.readers import READERS

SPECIAL = [
    b"\0",
    b"\xff",
    b"\x80",
    b"9" * 12,
    b"\xff" * 8,
    b"-",
    b",",
    b"\n",
    b'"',
    b"e308",
    b"../",
    b"[" * 3000,
]


def mutated(data, rng):
    """Return the bytes with one to six edits."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(5)
        if what == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            data[at : at + rng.choice([0, 1, 8])] = rng.choice(SPECIAL)
        elif what == 2:
            del data[at : at + rng.choice([1, 4, 64])]
        elif what == 3:
            other = rng.randrange(len(data) + 1)
            data[at:at] = data[other : other + rng.choice([1, 16, 512])]
        else:
            del data[max(at, 1) :]
    return bytes(data)


@pytest.mark.parametrize("name", READERS)
def test_changed_bytes(name, tmp_path):
    reader, rng, trials = READERS[name], random.Random(SEED), count(150, 10_000)
    path = tmp_path / reader.name
    for seed in reader.seeds:
        path.write_bytes(seed)
        reader.read(path)
    for _ in range(trials):
        data = mutated(rng.choice(reader.seeds), rng)
        path.write_bytes(data)
        said = ""
        try:
            reader.read(path)
        except NtkrunError as error:
            said = str(error)
        assert "\n" not in said, data
        assert list(tmp_path.iterdir()) == [path]
    record("X bytes", f"{name}: valid bytes with one to six edits", trials)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", READERS)
def test_coverage_guided(name, tmp_path):
    pytest.importorskip("atheris", reason="pip install atheris")
    runs = count(2_000, 20_000)
    words = [sys.executable, "-m", "tests.faults.fuzz", name, str(tmp_path), f"-runs={runs}", f"-seed={SEED}"]
    words += ["-max_total_time=300", "-rss_limit_mb=4096"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    made = int(done.stderr.rsplit("Done ", 1)[1].split()[0])
    record("X atheris", f"{name}: inputs grown by coverage", made)
