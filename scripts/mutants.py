"""Plant a defect at a time and see whether the suite finds it (FAULTS: M1-M14).

    [NTKRUN_FAULTS=full NTKRUN_FAULTS_RECORD=outputs/faults.jsonl] python -m scripts.mutants [M5 M9 ...]

Each defect is planted in a copy of the working tree, where the tests named beside it have to fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.plan import record

ROOT = Path(__file__).resolve().parent.parent
ATOMIC, SHARDS, FEATURIZE = "ntkrun/store/atomic.py", "ntkrun/store/shards.py", "ntkrun/stages/featurize.py"
POWER, STORE = "tests/faults/test_kills.py::test_power_loss", "tests/test_store.py"
KILLS = "tests/faults/test_kills.py"

# name: what, file, text, its replacement, tests
MUTANTS = {
    "M1": ("no fsync of the file", ATOMIC, "            os.fsync(file.fileno())\n", "", [POWER, STORE]),
    "M2": (
        "no fsync of the folder",
        ATOMIC,
        "            os.fsync(folder)\n",
        "            pass\n",
        [POWER, STORE],
    ),
    "M3": (
        "write under the final name",
        ATOMIC,
        "tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)",
        "(os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC), str(path))",
        [KILLS, STORE],
    ),
    "M4": (
        "rename before the bytes are there",
        ATOMIC,
        "            file.write(data)\n",
        "            os.replace(temporary, path)\n            temporary = str(path)\n"
        "            file.write(data)\n",
        [KILLS, STORE],
    ),
    "M5": (
        "no check of the checksum",
        SHARDS,
        "if len(data) != receipt.bytes or hashlib.sha256(data).hexdigest() != receipt.sha256:",
        "if len(data) != receipt.bytes:",
        ["tests/faults/test_rot.py", STORE],
    ),
    "M6": (
        "HDF5 opens the file before its checksum is looked at",
        SHARDS,
        'with h5py.File(io.BytesIO(self.read_bytes(name)), "r") as file:',
        'with h5py.File(self.folder / name, "r") as file:\n            self.read_bytes(name)',
        [STORE],
    ),
    "M7": (
        "key without the seed",
        "ntkrun/maths/method/base.py",
        'if k != "device"}',
        'if k not in ("device", "random_state")}',
        [STORE],
    ),
    "M8": (
        "key without the number type",
        "ntkrun/maths/method/base.py",
        'if k != "device"}',
        'if k not in ("device", "dtype")}',
        [STORE],
    ),
    "M9": (
        "key without the version",
        "ntkrun/maths/method/base.py",
        '"version": self.version, ',
        "",
        [STORE],
    ),
    "M10": (
        "a lock by existence of a file",
        "ntkrun/store/lock.py",
        "native = FileLock(path, fallback_to_soft=False)",
        "native = SoftFileLock(path)",
        ["tests/faults/test_concurrency.py", KILLS, "tests/cases/test_locks.py"],
    ),
    "M11": (
        "sums added up in the order of arrival",
        "ntkrun/solvers/ridge.py",
        "            early[number] = sums\n",
        "            self.sums.merge(sums)\n",
        ["tests/test_executor.py"],
    ),
    "M12": (
        "a failing tracker says nothing",
        "ntkrun/tracking/publish.py",
        'log.warning(\n            "tracking   %s; the run folder',
        'log.debug(\n            "tracking   %s; the run folder',
        ["tests/test_cli.py"],
    ),
    "M13": (
        "manifest before shard",
        FEATURIZE,
        "            store.add(receipt)\n",
        "            (store.folder / receipt.name).rename(store.folder / 'late')\n"
        "            store.add(receipt)\n"
        "            (store.folder / 'late').rename(store.folder / receipt.name)\n",
        [KILLS, STORE, "tests/faults/test_order.py"],
    ),
    "M14": (
        "an archive is extracted",
        "ntkrun/datasets/archive.py",
        "            for member in tar:\n",
        "            tar.extractall(path.parent)\n            for member in tar:\n",
        ["tests/test_contract.py", "tests/faults/test_archives.py"],
    ),
    # beside the plan
    "M15": (
        "labels of another shard's rows",
        FEATURIZE,
        ".labels(start, stop)",
        ".labels(0, stop - start)",
        [STORE, "tests/test_pinned.py"],
    ),
    "M16": (
        "a line of the manifest is believed without its checksum",
        "ntkrun/store/manifest.py",
        "if match is None or hashlib.sha256(match[2]).hexdigest().encode() != match[1]:",
        "if match is None:",
        ["tests/test_manifest.py"],
    ),
    "M17": (
        "clean removes what a run has used since it looked",
        "ntkrun/store/inventory.py",
        "if _used(folder) != one.used:",
        "if False:",
        ["tests/test_clean.py"],
    ),
}


def planted(name: str, folder: Path) -> None:
    """Plant a defect in a copy of the tree."""
    _, file, text, instead, _ = MUTANTS[name]
    path = folder / file
    source = path.read_text()
    if source.count(text) != 1:
        raise SystemExit(
            f"{name}: its text is in {file} {source.count(text)} times, not once. Mend this script."
        )
    path.write_text(source.replace(text, instead))


def main(words: list[str]) -> int:
    """Try the named defects, or all; the exit code is the number that nobody has found."""
    missed = []
    for name in words or MUTANTS:
        what, *_, tests = MUTANTS[name]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "tree"
            ignored = shutil.ignore_patterns(".venv", ".git", "outputs", ".*_cache", "__pycache__")
            shutil.copytree(ROOT, folder, ignore=ignored)
            planted(name, folder)
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
            env = {k: v for k, v in os.environ.items() if not k.startswith("NTKRUN_FAULTS")}
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
        found = done.returncode == 1
        first = next(
            (s for s in done.stdout.splitlines() if s.startswith(("FAILED", "ERROR"))), done.stdout[-200:]
        )
        print(f"{name:<4} {'found' if found else 'MISSED'}  {what}: {first}", flush=True)
        missed += [] if found else [name]
        if found:
            record("M", f"{name} {what}: {first.split(' - ')[0]}", 1)
    print(f"{len(words or MUTANTS) - len(missed)} of {len(words or MUTANTS)} found")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
