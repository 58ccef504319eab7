"""K4: a file is synced before it gets its name, and has its name before the manifest lists it."""

import os
from pathlib import Path

from ntkrun.cli import main as cli
from ntkrun.tracking.database import ARTIFACTS
from tests.faults import harness
from tests.faults.plan import record


def test_every_file_is_synced_named_and_then_told_of(toy, tmp_path, monkeypatch):
    trace: list[tuple[str, str]] = []
    fsync, replace, write = os.fsync, os.replace, os.write

    def synced(descriptor):
        trace.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(source, target):
        trace.append(("from", str(source)))
        trace.append(("to", str(target)))
        replace(source, target)

    def appended(descriptor, data):
        if data:
            trace.append(("append", os.readlink(f"/proc/self/fd/{descriptor}")))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", appended)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    assert cli.main([*toy.words, f"output_dir={tmp_path}"]) == 0
    (features,) = (tmp_path / "features").iterdir()
    told = [(step, Path(path)) for step, path in trace if step in ("to", "append")]
    names = [path.name for _, path in told if path.parent == features]
    shards = [name for name in names if name.endswith(".h5")]
    assert sorted(shards) == sorted(harness.shards(tmp_path))
    # one shard, then the manifest that lists it; at the end all of the manifest reaches the disk
    assert names == [name for shard in shards for name in (shard, "manifest.jsonl")]
    manifest = str(features / "manifest.jsonl")
    last = max(i for i, step in enumerate(trace) if step == ("append", manifest))
    assert ("sync", manifest) in trace[last:]
    # MLflow copies artifacts in its own way, from the run folder
    ours = [str(tmp_path) in path and f"/{ARTIFACTS}/" not in path for _, path in trace]
    starts = [i for i, (step, _) in enumerate(trace) if step == "from" and ours[i]]
    assert len(starts) > len(shards)
    for i in starts:
        temporary, target = trace[i][1], trace[i + 1][1]
        assert trace[i - 1] == ("sync", temporary)
        assert trace[i + 2] == ("sync", str(Path(target).parent))
        assert trace.count(("sync", temporary)) == 1
    record("K4", f"fsync, rename, fsync of the folder, then the manifest: {len(starts)} files of a run", 1)
