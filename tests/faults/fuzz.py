"""Fuzz one reader by coverage: python -m tests.faults.fuzz READER FOLDER [libFuzzer options]."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ntkrun.datasets", "ntkrun.store", "tarfile", "pickle", "gzip"]):
    from ntkrun.errors import NtkrunError
    from tests.faults.readers import READERS


def main(name: str, folder: Path, options: list[str]) -> None:
    """Fuzz; libFuzzer ends the process, with 0 if only NtkrunError was raised."""
    reader = READERS[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(reader.seeds):
        (corpus / str(number)).write_bytes(seed)
    work = folder / "work"
    work.mkdir()
    path = work / reader.name

    def one(data: bytes) -> None:
        path.write_bytes(data)
        try:
            reader.read(path)
        except NtkrunError as error:
            if "\n" in str(error):
                raise AssertionError("more than one line") from error

    atheris.Setup([sys.argv[0], str(corpus), *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
