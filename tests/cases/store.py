"""An MLflow database, which takes seconds to make: made once, then copied."""

import functools
import shutil
import tempfile
from pathlib import Path


@functools.cache
def _made() -> tuple[Path, tempfile.TemporaryDirectory]:
    from mlflow.tracking import MlflowClient

    folder = tempfile.TemporaryDirectory()  # it goes with this process
    file = Path(folder.name) / "made.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file, folder


def fresh(file: Path) -> Path:
    """Put a database without runs to `file`, unless there is one, and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        shutil.copyfile(_made()[0], file)
    return file
