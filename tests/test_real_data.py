"""Real CIFAR-10 images through the whole road; skipped with a reason where the archive is absent."""

import json

import pytest

from ntkrun import cli


def test_cifar10_images_are_learned(cifar_archive, tmp_path, capsys):
    words = ["dataset=cifar10", f"dataset.path={cifar_archive}", "dataset.n_train=1000", "dataset.n_test=500"]
    code = cli.main([*words, "feature_dim=1024", "baseline=estimate", f"output_dir={tmp_path}"])
    assert code == 0, capsys.readouterr().err
    result = json.loads(next(tmp_path.glob("runs/*/result.json")).read_text())
    # 43 % at the time of writing; chance is 10 %
    assert 0.38 < result["test/accuracy"] < 0.6
    assert result["speedup"] > 100
    assert result["exact/time_kind"] == "extrapolated"


@pytest.mark.slow
def test_cifar10_small_reaches_the_prototype_in_little_memory(cifar_archive, tmp_path, capsys):
    code = cli.main(["experiment=cifar10_small", f"dataset.path={cifar_archive}", f"output_dir={tmp_path}"])
    assert code == 0, capsys.readouterr().err
    result = json.loads(next(tmp_path.glob("runs/*/result.json")).read_text())
    assert result["test/accuracy"] >= 0.56
    assert result["memory/peak_rss_mb"] < 3000
