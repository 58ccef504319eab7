"""Test ntkrun predict: its rows are those that the run predicted."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntkrun.cli import main as cli
from ntkrun.model import Model
from ntkrun.stages import score


def people(rows, seed):
    """A table with words, dates, missing values and labels in words."""
    rng = np.random.default_rng(seed)
    age, town = rng.normal(40, 10, rows).round(1), rng.choice(["Köln", "Oslo", "Rom"], rows)
    frame = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(rows)],
            "town": town,
            "age": np.where(rng.random(rows) < 0.1, np.nan, age),
            "seen": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D"),
            "kind": np.where(age + 9 * (town == "Rom") + rng.normal(0, 4, rows) > 42, "old one", "young one"),
        }
    )
    frame["seen"] = frame["seen"].dt.strftime("%Y-%m-%d")
    frame.loc[rng.random(rows) < 0.1, "town"] = None
    return frame


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("NTKRUN_OUTPUT_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def trained(*words):
    """Run and return (run folder, result)."""
    assert cli.main([*words, "baseline=none", "feature_dim=64", "depth=1"]) == 0
    folder = max(Path("outputs/runs").glob("*"), key=lambda p: p.stat().st_mtime_ns)
    return folder, json.loads((folder / "result.json").read_text())


@pytest.fixture
def kept(monkeypatch):
    """The scores of the runs, with their predictions for the test rows."""
    out, run = [], score.run
    monkeypatch.setattr(score, "run", lambda *a: out.append(run(*a)) or out[-1])
    return out


def test_a_table_with_words_and_missing_values(place, capsys, kept):
    people(300, 0).to_csv("train.csv", index=False)
    new = people(80, 1)
    new.to_csv("new.csv", index=False)
    folder, result = trained(
        "dataset=csv", "dataset.path=train.csv", "dataset.test_path=new.csv", "method=ntk_nystrom"
    )
    columns = {row["column"]: row for row in json.loads((folder / "columns.json").read_text())["columns"]}
    assert columns["town"]["levels"] == ["(missing)", "Köln", "Oslo", "Rom"]
    assert columns["age"]["missing_marked"]
    assert (columns["seen"]["kind"], columns["id"]["kind"]) == ("date", "text")
    assert result["test/accuracy"] > 0.7
    capsys.readouterr()

    assert cli.main(["predict", "latest", "new.csv"]) == 0
    said = capsys.readouterr().out
    assert f"accuracy    {result['test/accuracy']:.4f}   of these rows" in said
    assert "young one" in said  # the confusion matrix
    written = pd.read_csv("new-predictions.csv")
    words = np.array(["old one", "young one"])
    assert (written["prediction"] == words[kept[0].prediction.argmax(1).numpy()]).all()
    model = Model.load(folder / "model")
    shares = model.probabilities(new.drop(columns="kind"))
    assert np.abs(written["probability_old one"] - shares[:, 0]).max() < 1e-12
    assert np.abs(written.filter(like="probability_").sum(axis=1) - 1).max() < 1e-12

    # no labels, columns in another order, one more, none of names, an unknown town: by name, as in training
    other = new[["seen", "age", "town"]].assign(more=1)
    other.loc[0, "town"] = "Paris"
    other.to_parquet("other.parquet")
    assert cli.main(["predict", str(folder), "other.parquet", "--output", "o.parquet"]) == 0
    again = pd.read_parquet("o.parquet")
    assert (again["prediction"][1:] == written["prediction"][1:]).all()
    assert "accuracy" not in capsys.readouterr().out
    assert (model.predict(other.drop(columns="more").to_dict("list")) == again["prediction"].to_numpy()).all()

    import mlflow

    served = mlflow.pyfunc.load_model(str(folder / "model"))
    assert (served.predict(new.drop(columns="kind")) == written["prediction"].to_numpy()).all()
    likely = served.predict(new.drop(columns="kind"), params={"output": "probabilities"})
    assert np.array_equal(likely, shares)
    example = served.metadata.load_input_example(str(folder / "model"))
    assert served.predict(example).tolist()[0] in words


def test_values_of_a_regression(place, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("aby"))
    frame["y"] += 3 * frame["a"]
    frame[:150].to_csv("train.csv", index=False)
    frame[150:].to_csv("new.tsv", index=False, sep="\t")
    _, result = trained("dataset=csv", "dataset.path=train.csv", "dataset.test_path=new.tsv", "method=rff")
    assert cli.main(["predict", "latest", "new.tsv", "--output", "p.csv"]) == 0
    assert f"mse         {result['test/mse']:.4f}" in capsys.readouterr().out
    written = pd.read_csv("p.csv")
    inside = (written["low_90"] <= frame["y"][150:].to_numpy()) & (
        frame["y"][150:].to_numpy() <= written["high_90"]
    )
    assert inside.mean() == pytest.approx(result["test/coverage"])


def test_several_targets(place, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(240, 4)), columns=list("abcd"))
    frame["c"] += 3 * frame["a"]
    frame["d"] -= 2 * frame["b"]
    frame.to_csv("t.csv", index=False)
    folder, result = trained("dataset=csv", "dataset.path=t.csv", "dataset.target=[c,d]", "method=raw")
    assert 0.5 < result["test/mse"] < 1.6
    assert cli.main(["predict", "latest", "t.csv"]) == 0
    written = pd.read_csv("t-predictions.csv")
    assert list(written) == [
        "row",
        "prediction_c",
        "prediction_d",
        "low_90_c",
        "high_90_c",
        "low_90_d",
        "high_90_d",
    ]
    assert np.corrcoef(written["prediction_c"], frame["c"])[0, 1] > 0.9
    assert np.corrcoef(written["prediction_d"], frame["d"])[0, 1] > 0.8
    assert ((written["low_90_d"] <= frame["d"]) & (frame["d"] <= written["high_90_d"])).mean() > 0.8
    import mlflow

    served = mlflow.pyfunc.load_model(str(folder / "model"))
    assert served.predict(frame[["a", "b"]]).shape == (240, 2)
    assert cli.main(["dataset=csv", "dataset.path=t.csv", "dataset.target=[c,e]", "method=raw"]) == 3
    assert "target of Csv must be one of at least two columns: a, b, c, d. Got 'e'" in capsys.readouterr().err


def test_arrays(place, tiny_npz, capsys, kept):
    folder, result = trained("dataset=npz", f"dataset.path={tiny_npz}", "method=ntk_sketch")
    assert cli.main(["predict", folder.name[-4:], str(tiny_npz), "--output", "p.csv"]) == 0
    assert f"accuracy    {result['test/accuracy']:.4f}" in capsys.readouterr().out
    x = np.load(tiny_npz)["x_test"]
    assert (pd.read_csv("p.csv")["prediction"] == kept[0].prediction.argmax(1).numpy()).all()
    np.save("x.npy", x)
    assert cli.main(["predict", result["mlflow/run_id"], "x.npy"]) == 0
    assert (pd.read_csv("x-predictions.csv")["prediction"] == pd.read_csv("p.csv")["prediction"]).all()


def test_images_in_files(place, capsys, kept):
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 16)):
        for i in range(count):
            folder = place / "pictures" / part / ("cat", "dog")[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 120, (8, 8, 3)) + 90 * (i % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    _, result = trained("dataset=folder", "dataset.path=pictures", "method=ntk_sketch", f"data_dir={place}")
    assert cli.main(["predict", "latest", "pictures/test"]) == 0
    assert f"accuracy    {result['test/accuracy']:.4f}" in capsys.readouterr().out
    written = pd.read_csv("test-predictions.csv")
    assert written["file"][0] == "cat/0.png"
    by_name = written.set_index(written["file"].str.extract(r"(\d+)")[0].astype(int)).sort_index()
    words = np.array(["cat", "dog"])[kept[0].prediction.argmax(1).numpy()]  # rows are in the order of names
    assert (by_name["prediction"] == words).all()
    assert set(words) == {"cat", "dog"}
    one = written.set_index("file").loc["dog/1.png"]
    (place / "new").mkdir()
    Image.open("pictures/test/dog/1.png").resize((16, 16), 0).save("new/large.bmp")
    assert cli.main(["predict", "latest", "new/large.bmp", "--output", "o.csv"]) == 0
    assert "accuracy" not in capsys.readouterr().out
    assert pd.read_csv("o.csv")["prediction"].tolist() == [one["prediction"]]


def test_export_is_loaded_by_its_three_lines(place, tiny_npz, capsys):
    trained("dataset=npz", f"dataset.path={tiny_npz}", "method=ntk_sketch")
    capsys.readouterr()
    assert cli.main(["export", "latest", "mine"]) == 0
    said = capsys.readouterr().out
    assert said == Path("mine/README.md").read_text()
    code = "\n".join(line.strip() for line in said.splitlines() if line.startswith("    "))
    names = {}
    exec(code, names)
    assert names["model"].predict(np.load(tiny_npz)["x_test"]).shape == (60,)
    assert cli.main(["export", "latest", "mine"]) == 2
    assert "folder of export must be new or empty" in capsys.readouterr().err


def test_errors_are_one_line(place, tiny_npz, capsys):
    trained("dataset=npz", f"dataset.path={tiny_npz}", "method=ntk_sketch")
    for words, says in [
        (["predict", "nobody", "x.npy"], "run of ntkrun must be a run folder, or latest"),
        (
            ["predict", "latest", "x.txt"],
            ".npy, .npz or .h5 with x, or folder of images. Got",
        ),
        (["predict", "latest", str(tiny_npz), "--output", "p.doc"], "a .csv or .parquet file"),
    ]:
        capsys.readouterr()
        assert cli.main(words) == 3
        err = capsys.readouterr().err
        assert says in err
        assert err.count("\n") == 1
    assert not list(place.glob("*predictions*"))
