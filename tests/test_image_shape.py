"""Test `image_shape`, which turns rows into images, from the command line."""

import json

import numpy as np
import pytest


@pytest.fixture
def rows(tiny_npz, tmp_path):
    """Write the images of `tiny_npz` as rows of pixels."""
    with np.load(tiny_npz) as file:
        arrays = {k: v.reshape(len(v), -1) if k[0] == "x" else v for k, v in file.items()}
    np.savez(tmp_path / "rows.npz", **arrays)
    return tmp_path / "rows.npz"


@pytest.mark.parametrize("method", ["cntk_sketch", "cntk_nystrom", "random_patches", "ckn", "exact_cntk"])
def test_rows_are_cut_into_images(ntkrun, rows, method):
    feature_dim = [] if method.startswith("exact") else ["feature_dim=64"]
    words = ["dataset=npz", f"dataset.path={rows}", f"method={method}", "baseline=none", *feature_dim]
    if method == "ckn":
        words.append("method.mirror=false")
    code, _, err = ntkrun(*words, "method.image_shape=[7,6,2]")
    assert code == 0, err
    (path,) = ntkrun.out.glob("runs/*/result.json")
    # the class is the side of the brighter half, which rows as 1-D signals would hide
    assert json.loads(path.read_text())["test/accuracy"] > 0.8
    code, _, err = ntkrun(*words, "method.image_shape=[7,6,1]")
    assert code == 3
    assert "rows of 42 numbers for method.image_shape=(7, 6, 1). Got 'rows of 84'" in err
