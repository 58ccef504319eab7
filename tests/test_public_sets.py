"""Test the readers of the paper's tables against files in exactly the form in which UCI gives them out."""

import json
import zipfile

import numpy as np
import pytest

from ntkrun.cli import main as cli

RNG = np.random.default_rng(2)
CT = ",".join(["patientId", *(f"value{i}" for i in range(384)), "reference"])


def songs(rows):
    """Return YearPredictionMSD.txt: no header, 91 columns, the year first, five decimals, CR LF or LF."""
    x = RNG.normal(size=(rows, 90)) * 50
    years = np.clip(2000 + x[:, 0] / 10, 1922, 2011).astype(int)
    lines = [
        f"{year}," + ",".join(f"{v:.5f}".rstrip("0") for v in row) for year, row in zip(years, x, strict=True)
    ]
    return "\n".join(lines) + "\n"


def slices(rows):
    """Return slice_localization_data.csv: a header, 97 patients, histograms in -0.25..1, centimetres last."""
    x = np.where(
        RNG.random((rows, 384)) < 0.4, RNG.choice([0.0, -0.25], (rows, 384)), RNG.random((rows, 384))
    )
    lines = [CT]
    for i, row in enumerate(x):
        values = ",".join(f"{v:.9g}" for v in row)
        lines.append(f"{i * 97 // rows},{values},{20 + 50 * row[:9].mean():.6f}")
    return "\n".join(lines) + "\n"


def queries(rows):
    """Return Range-Queries-Aggregates.csv: row numbers without a name; no average of nothing."""
    lines = [",x,y,x_range,y_range,count,sum_,avg"]
    for i in range(rows):
        x, y, a, b = RNG.random(4)
        count = int(9000 * a * b)
        total = count * 0.3 * (1 + x)
        lines.append(f"{i},{x},{y},{a},{b},{count},{total},{total / count if count else ''}")
    lines.append(f"{rows},0.1,0.2,1e-9,1e-9,0,0.0,")
    return "\n".join(lines) + "\n"


def casp(rows):
    """Return CASP.csv: a header, the target (RMSD) first, nine columns."""
    x = RNG.normal(size=(rows, 9))
    lines = ["RMSD,F1,F2,F3,F4,F5,F6,F7,F8,F9"]
    lines += [",".join(f"{v:.6g}" for v in [20 + row.sum(), *row]) for row in x]
    return "\n".join(lines) + "\n"


SETS = {
    "million_songs": (songs, "YearPredictionMSD.txt", 90, []),
    "ct": (slices, "slice_localization_data.csv", 384, []),
    "workloads": (queries, "Range-Queries-Aggregates.csv", 4, []),
    "protein": (casp, "CASP.csv", 9, ["dataset.target=RMSD"]),
}


def run(out, name, path, *words):
    more = ["method=raw", "tracking.uri=sqlite:///:memory:", f"output_dir={out}", *words]
    assert cli.main(["experiment=table2_uci", f"dataset={name}", f"dataset.path={path}", *more]) == 0
    (found,) = out.glob("runs/*/result.json")
    return json.loads(found.read_text())


def archive(path, inner, nested=False):
    """Put a file into a zip, maybe that into another, as the archive of UCI does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.write(inner, inner.name)
    if nested:
        outer = path.with_name(f"outer-{path.name}")
        archive(outer, path)
        return outer
    return path


@pytest.mark.parametrize("name", SETS)
def test_a_set_in_its_public_form_runs_at_the_first_try(name, tmp_path, capsys):
    make, file, columns, words = SETS[name]
    plain = tmp_path / file
    plain.write_text(make(400))
    result = run(tmp_path / "plain", name, plain, "dataset.fold=0", *words)
    assert f", {columns}, regression" in capsys.readouterr().err
    assert (result["n_train"], result["n_test"]) == (300, 100)
    assert result["test/r2"] > 0.2
    for nested in (False, True):
        packed = archive(tmp_path / f"{nested}.zip", plain, nested)
        again = run(tmp_path / str(nested), name, packed, "dataset.fold=0", *words)
        assert again["data_sha256"] == result["data_sha256"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_million_songs_at_full_size(tmp_path, capsys):
    rows, plain = 515_345, tmp_path / "YearPredictionMSD.txt"
    with plain.open("w") as file:
        for start in range(0, rows, 5000):
            file.write(songs(min(5000, rows - start)))
    packed = archive(tmp_path / "YearPredictionMSD.txt.zip", plain)
    plain.unlink()
    result = run(tmp_path / "out", "million_songs", packed, "dataset.fold=3")
    assert result["n_train"] + result["n_test"] == rows
    assert result["n_test"] == rows - 3 * rows // 4
    assert "90, regression" in capsys.readouterr().err
