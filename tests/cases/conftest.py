import pytest

from tests.cases.base import Stage, needs_cases


@pytest.fixture
def stage(tmp_path, capsys, monkeypatch):
    """An empty current folder in which a situation is played."""
    needs_cases()
    monkeypatch.chdir(tmp_path)
    for name in ("NTKRUN_OUTPUT_DIR", "NTKRUN_DATA_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return Stage(tmp_path, capsys, monkeypatch)
