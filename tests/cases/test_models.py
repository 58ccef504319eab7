"""Saved models, and inputs for them as people have them."""

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntkrun.cli import main as cli
from ntkrun.model import Model
from tests.cases.base import SHARED, Case, rows

FIXED = [
    "baseline=none",
    "tracking.uri=sqlite:///:memory:",
    "feature_dim=32",
    "depth=2",
    "output_dir=trained",
]
ROW = {"a": 1, "b": 2, "c": 3}
TURNED = {"c": 3, "b": 2, "a": 1}


def trained(*words):
    """Train in the current folder and return the model's folder, which stays until all tests are done."""
    assert cli.main([*words, *FIXED]) == 0
    runs = Path("trained/runs").absolute().iterdir()
    return max(runs, key=lambda run: (run / "result.json").stat().st_mtime_ns) / "model"


@cache
def table():
    return trained("dataset=csv", f"dataset.path={SHARED / 'ok.csv'}", "method=raw")


@cache
def images(change=lambda x: x, channels=3, layout="null", method="cntk_sketch"):
    """Train on bytes (60, 6, 5, channels) after a change; returns the model's folder and the bytes."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.integers(0, 156, (60, 6, 5, channels)).astype(np.uint8)
    x[y == 1, :3] += 100
    np.savez("x.npz", x_train=change(x), y_train=y, x_test=change(x[:20]), y_test=y[:20])
    return trained("dataset=npz", "dataset.path=x.npz", f"dataset.layout={layout}", f"method={method}"), x


def first(x):
    return np.moveaxis(x, -1, 1)


def served(folder):
    """Return MLflow's two ways to a model: a function of Python objects, and one of a request's body."""
    import mlflow
    from mlflow.pyfunc.scoring_server import invocations

    loaded = mlflow.pyfunc.load_model(str(folder))

    def ask(**body):
        data = json.dumps(body).encode()
        answer = invocations(data, "application/json", loaded, loaded.metadata.get_input_schema())
        return json.loads(answer.response)["predictions"]

    return loaded, ask


def refused(function, *words, **body):
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as caught:
        function(**body)
    assert caught.value.get_http_status_code() == 400
    for word in words:
        assert word in caught.value.message


def in_any_order(stage):
    model = Model.load(table())
    want = model.predict(np.array([[1, 2, 3]]))
    for x in (ROW, TURNED, [TURNED], {"c": [3.0], "b": [2], "a": [1]}, pd.DataFrame([TURNED])):
        assert np.array_equal(model.predict(x), want)
        assert np.array_equal(model.values(x)[:, 0], want)
    assert np.array_equal(model.predict(pd.DataFrame([TURNED]).convert_dtypes()), want)
    assert model.predict([TURNED, ROW]).shape == (2,)


def served_in_any_order(stage):
    folder = table()
    loaded, ask = served(folder)
    want = Model.load(folder).predict(ROW).tolist()
    for dtype in (float, int, "float32"):
        assert loaded.predict(pd.DataFrame([TURNED]).astype(dtype)).tolist() == want
    split = {"columns": ["c", "a", "b"], "data": [[3, 1, 2]]}
    for body in (
        {"dataframe_records": [TURNED]},
        {"dataframe_records": [ROW]},
        {"dataframe_split": split},
        {"inputs": {"c": [3], "b": [2], "a": [1]}},
        {"inputs": [TURNED]},
        {"instances": [TURNED]},
    ):
        assert ask(**body) == want
    schema = loaded.metadata.get_input_schema()
    assert (schema.input_names(), schema.required_input_names()) == (["a", "b", "c"],) * 2
    assert list(loaded.metadata.load_input_example(str(folder)).columns) == ["a", "b", "c"]
    assert len(ask(**json.loads((folder / "serving_input_example.json").read_text()))) == 1


def served_wrong_names(stage):
    loaded, ask = served(table())
    wrong = {"a": 1, "b": 2, "x": 3}
    refused(lambda: loaded.predict(pd.DataFrame([wrong])), "missing inputs ['c']", "['x']")
    refused(lambda: loaded.predict(np.ones((1, 3))), "missing inputs")
    for body in (
        {"dataframe_records": [wrong]},
        {"dataframe_split": {"columns": ["a", "b", "x"], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"data": [[1, 2, 3]]}},
        {"inputs": {"a": [1], "b": [2]}},
        {"inputs": [[1, 2, 3]]},
    ):
        refused(ask, "missing inputs", **body)
    refused(ask, "column a of x of Model must be numbers", dataframe_records=[{"a": "1", "b": 2, "c": 3}])
    refused(ask, "finite", inputs={"a": [1, None], "b": [2, 2], "c": [3, 3]})


def served_too_many(stage):
    loaded, ask = served(table())
    more = ROW | {"id": 7}
    assert ask(dataframe_records=[more]) == ask(dataframe_records=[ROW])
    assert np.array_equal(loaded.predict(pd.DataFrame([more])), loaded.predict(pd.DataFrame([ROW])))


def bytes_in_any_type(stage):
    folder, x = images()
    model = Model.load(folder)
    loaded, ask = served(folder)
    want = model.predict(x)
    assert set(want) == {0, 1}
    for form in (x, x.astype(float), x.astype("float32"), x.astype(int), x.reshape(60, -1)):
        assert np.array_equal(model.predict(form), want)
        assert np.array_equal(loaded.predict(form), want)
    assert ask(inputs=x.tolist()) == ask(instances=x.tolist()) == want.tolist()
    assert ask(inputs=x.astype(float).tolist()) == want.tolist()


def served_fractions(stage):
    folder, x = images()
    loaded, ask = served(folder)
    for bad, words in (
        (x / 255, "multiply them by 255"),
        (x + 0.5, "whole numbers"),
        (x.astype(int) + 300, "in 0..255"),
    ):
        refused(lambda bad=bad: loaded.predict(bad), words)
        refused(ask, words, inputs=bad.tolist())
        refused(ask, words, instances=bad.tolist())


def as_they_came(stage):
    folder, x = images(first, layout="channels_first")
    last = Model.load(images()[0])
    model = Model.load(folder)
    want = last.values(x)
    assert np.array_equal(model.values(first(x)), want)
    assert np.array_equal(model.values(first(x).reshape(60, -1)), want)
    loaded, ask = served(folder)
    assert np.array_equal(loaded.predict(first(x)), want.argmax(1))
    assert ask(inputs=first(x).tolist()) == want.argmax(1).tolist()
    example = loaded.metadata.load_input_example(str(folder))
    assert np.shape(example) == (1, 3, 6, 5)
    assert ask(**json.loads((folder / "serving_input_example.json").read_text())) == ask(
        inputs=example.tolist()
    )
    folder, _ = images(lambda x: first(x) / 7, layout="channels_first")
    assert served(folder)[0].metadata.get_input_schema().inputs[0].shape == (-1, 3, 6, 5)


def last_to_first(stage):
    folder, x = images(first, layout="channels_first")
    Model.load(folder).predict(x)


def grey(stage):
    forms = {"null": lambda x: x, "channels_last": lambda x: x[..., 0], "channels_first": first}
    values = []
    for layout, form in forms.items():
        folder, x = images(form, 1, layout)
        model = Model.load(folder)
        for given in (form(x), x[..., 0], x, x.reshape(60, -1)):
            values.append(model.values(given))
        assert np.array_equal(served(folder)[0].predict(form(x)), values[-1].argmax(1))
    assert all(np.array_equal(v, values[0]) for v in values)


def with_record(change):
    """Return a copy of a model, in which a change was made to its record, and inputs for both."""
    folder, x = images(method="raw")
    copy = shutil.copytree(folder, Path("copy"))
    record = json.loads((copy / "model.json").read_text())
    change(record)
    (copy / "model.json").write_text(json.dumps(record))
    return folder, copy, x


def older(stage):
    folder, copy, x = with_record(lambda record: record.pop("inputs"))
    assert np.array_equal(Model.load(copy).values(x), Model.load(folder).values(x))


def other_record(stage):
    _, copy, _ = with_record(lambda record: record["inputs"].update(shape=[6, 5, 4]))
    Model.load(copy)


def predict(x):
    return lambda stage: Model.load(table()).predict(x)


def predict_images(change):
    def call(stage):
        folder, x = images(method="raw")
        Model.load(folder).predict(change(x))

    return call


def case(situation, now, call, *says, point="16.4"):
    """Return a row: with words it is refused."""
    return Case(point, situation, now, call=call, says=says, code=3 if says else 0)


COLUMNS = "x of Model must be a table of a, b, c. Got 'one that "
CASES = [
    case("columns in another order for a saved model", "they go by their names", in_any_order),
    case("a column too few", "refused, with its name", predict({"a": 1, "b": 2}), COLUMNS + "lacks c'"),
    case("a column in one row only", "refused", predict([ROW, {"a": 1, "b": 2}]), COLUMNS + "lacks c'"),
    case(
        "a column too many", "refused, with its name", predict(ROW | {"d": 4}), COLUMNS + "has the unknown d'"
    ),
    case(
        "wrong names of columns",
        "refused, with all of them",
        predict(pd.DataFrame([{"x": 1, "y": 2, "z": 3}])),
        COLUMNS + "lacks a, b, c; has the unknown x, y, z'",
    ),
    case(
        "two columns of one name",
        "refused",
        predict(pd.DataFrame([[1, 2, 3, 4]], columns=list("abca"))),
        COLUMNS + "has more than one a'",
    ),
    case(
        "a word in a column", "refused", predict(ROW | {"b": "2"}), "column b of x of Model must be numbers"
    ),
    case("an array of another width", "refused", predict(np.ones((1, 4))), "shape (n, 3). Got 'float64 of"),
    case(
        "nan or infinity in a row", "refused", predict([[1, 2, np.inf]]), "x of Model must be finite (row 0"
    ),
    case("columns in another order for a served model", "they go by their names", served_in_any_order),
    case("wrong or missing columns for a served model", "refused with 400, and named", served_wrong_names),
    case("columns too many for a served model", "MLflow warns and leaves them out", served_too_many),
    case("bytes for a model of bytes, as other types and in JSON", "they are the same", bytes_in_any_type),
    case(
        "pixels between 0 and 1 for a model of bytes",
        "refused: multiply by 255",
        predict_images(lambda x: x / 255),
        "x of Model must be whole numbers in 0..255, as in training. Got",
        "multiply them by 255",
    ),
    case(
        "negative numbers for a model of bytes",
        "refused",
        predict_images(lambda x: x.astype(int) - 1),
        "whole numbers in 0..255, as in training. Got -1",
    ),
    case("fractions for a served model of bytes", "refused with 400, not cut to 0", served_fractions),
    case("a model of images with channels first", "it takes them so", as_they_came, point="16.2"),
    case(
        "channels last for a model of images with channels first",
        "refused, with the shape",
        last_to_first,
        "numbers of shape (n, 3, 6, 5). Got 'uint8 of shape (60, 6, 5, 3)'",
        point="16.2",
    ),
    case("grey images in any form for a model of grey images", "they are the same", grey, point="16.2"),
    case("a model saved by an older version", "it takes what it took", older, point="16.2"),
    case("a record of inputs that does not fit", "refused", other_record, "holds no model", point="16.2"),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
