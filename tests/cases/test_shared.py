"""Output folders that a group shares."""

import os
import stat

import pytest

from tests.cases.base import Case, rows
from tests.cases.test_outputs import OK, run


def group_folder(mask, mode):
    def before(stage):
        stage.outputs.mkdir()
        stage.outputs.chmod(mode)
        old = os.umask(mask)
        try:
            run(stage, stage.outputs)
            assert (
                stage.ntkrun([*OK.split(), "-m", "solver.lambda_count=4", f"output_dir={stage.outputs}"]) == 0
            )
        finally:
            assert os.umask(old) == mask  # the caller's is as it was

    return before


def modes(file_mode, folder_mode):
    def check(stage):
        found = {p: stat.S_IMODE(p.stat().st_mode) & 0o777 for p in stage.outputs.rglob("*")}
        assert found
        wrong = {p: oct(m) for p, m in found.items() if m != (folder_mode if p.is_dir() else file_mode)}
        assert not wrong

    return check


CASES = [
    *[
        Case(
            "16.12",
            f"a folder with the rights {mode:o} and umask {mask:03o}",
            f"files are made {files:o}, folders {folders:o}",
            call=group_folder(mask, mode),
            check=modes(files, folders),
        )
        for mask, mode, files, folders in [
            (0o022, 0o2775, 0o664, 0o775),
            (0o077, 0o2775, 0o664, 0o775),
            (0o002, 0o2770, 0o660, 0o770),
            (0o022, 0o775, 0o664, 0o775),
            (0o077, 0o700, 0o600, 0o700),
            (0o022, 0o755, 0o644, 0o755),
        ]
    ],
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
