"""Test that image files become the arrays they hold, in a known order, and that the cache is checked."""

import json
import os
import re

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.datasets.folder import Folder
from ntkrun.datasets.images.listing import natural
from ntkrun.errors import DataError
from ntkrun.model import Model
from ntkrun.stages import data as stage
from tests.images import RNG, colour, load, save

pytestmark = pytest.mark.usefixtures("listening")


def rows_of(split, *parts):
    """Return the images of parts as a set of bytes with their labels."""
    parts = [getattr(split, p) for p in parts]
    return sorted(
        (row.tobytes(), int(label)) for part in parts for row, label in zip(part.x, part.y, strict=True)
    )


def test_png_files_are_read_bit_for_bit_in_the_order_of_their_numbers(photos, tmp_path):
    folder, x = photos
    split = load(folder, tmp_path)
    assert split.class_names == ["cat", "dog", "emu"]
    assert split.train.y.dtype == np.int64
    assert (split.n_train, len(split.test), split.train.x.shape[1:]) == (19, 5, (6, 5, 3))
    assert rows_of(split, "train", "valid", "test") == sorted(
        (image.tobytes(), i % 3) for i, image in enumerate(x)
    )
    # test rows are in the order of the files: 2.png stands before 10.png
    place = [next(i for i in range(24) if np.array_equal(x[i], row)) for row in split.test.x]
    assert place == sorted(place)


def test_a_test_folder_is_the_test_part_and_gives_the_split_of_the_arrays(tmp_path):
    from ntkrun.datasets.split import make_split

    x, y = RNG.integers(0, 256, (70, 5, 4), dtype=np.uint8), RNG.integers(0, 11, 70)
    y[:11] = range(11)
    for i, image in enumerate(x):
        part = tmp_path / "set" / ("train" if i < 50 else "TEST")
        save(part / f"{y[i]}" / f"{i if i < 50 else i - 50}.png", image)
    split = load(tmp_path / "set", tmp_path)
    same = make_split(
        "arrays",
        (x[:50, ..., None], y[:50]),
        (x[50:, ..., None], y[50:]),
        classes=11,
        **Folder(path="x").subset(),
    )
    assert split.sha256 == same.sha256  # and with it every number of a run
    assert split.class_names == [str(i) for i in range(11)]


def test_another_test_folder_and_parts_that_are_not_used(tmp_path, caplog):
    for part in ("train", "val", "extra"):
        for label in "ab":
            for i in range(6):
                save(tmp_path / "set" / part / label / f"{i}.png", colour(3, 3))
    with caplog.at_level("INFO", "ntkrun"):
        split = load(tmp_path / "set", tmp_path)
    assert (split.n_train, len(split.test)) == (10, 2)
    assert "val is not used" in caplog.text
    assert "dataset.test_folder=val" in caplog.text
    assert "extra is not used" in caplog.text
    split = load(tmp_path / "set", tmp_path, test_folder="val")
    assert (split.n_train, len(split.test)) == (12, 12)


def test_a_class_may_be_called_train(tmp_path):
    for label in ("train", "plane"):
        for i in range(6):
            save(tmp_path / "set" / label / f"{i}.png", colour(3, 3))
    assert load(tmp_path / "set", tmp_path).class_names == ["plane", "train"]


def test_a_csv_names_files_and_labels(tmp_path, caplog):
    x = colour(30, 4, 3)
    for i, image in enumerate(x):
        save(tmp_path / "all" / f"{i:02}.png", image)
    lines = [f"{i:02}.png,{('big cat', 'été', '-1')[i % 3]},test" for i in range(30)]
    (tmp_path / "all" / "l.csv").write_text("\n".join(["file,label,split", *lines]), "utf-8-sig")
    with caplog.at_level("INFO", "ntkrun"):
        split = load(tmp_path / "all", tmp_path, labels="l.csv")
    assert split.class_names == ["-1", "big cat", "été"]
    assert "not used: split" in caplog.text
    assert rows_of(split, "train", "valid", "test") == sorted(
        (image.tobytes(), (1, 2, 0)[i % 3]) for i, image in enumerate(x)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1.png,x\n", "names the columns file and label"),
        ("file,label\n1.png,x\n2.png,\n", "row 2 has no label"),
        ("file,label\n1.png,x\n,y\n", "row 2 has no file"),
        ("file,label\n1.png,x\n2.png,y\n1.png,y\n", "1.png is in row 1 and in row 3"),
        ("file,label\n1.png,x\n2.png,x\n", "at least two labels"),
        ("file,label\n", "Got 'no row"),
        ("", "is not a csv"),
        ('file,label\n"1.png,x\n', "is not a csv"),
        ("file,label\n1.png,x\nnone.png,y\n", "none.png cannot be read as an image: it is absent"),
    ],
)
def test_bad_label_files_are_named(tmp_path, text, message):
    for i in (1, 2):
        save(tmp_path / f"{i}.png", colour(3, 3))
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        load(tmp_path, tmp_path, labels="l.csv")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_label_file_says_where_its_path_begins(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.csv").write_text("file,label\n")
    with pytest.raises(DataError, match=f"begins at dataset.path. Set dataset.labels={tmp_path}/l.csv"):
        load(tmp_path / "here", tmp_path, labels="l.csv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "an existing folder"),
        (lambda f: f.write_bytes(b"PK"), "Unpack it first"),
        (lambda f: f.mkdir(), "at least two folders with images"),
        (lambda f: save(f / "1.png", colour(2, 2)), "Move the images into folders of their classes"),
        (lambda f: save(f / "cat" / "1.png", colour(2, 2)), "Got '.* with cat' instead"),
        (lambda f: [save(f / "test" / c / "1.png", colour(2, 2)) for c in "ab"], "a folder with train/"),
        (
            lambda f: [
                save(f / p / c / "1.png", colour(2, 2))
                for p, c in (("train", "a"), ("train", "b"), ("test", "c"))
            ],
            "must be among a, b. Got 'c'",
        ),
    ],
)
def test_folders_of_another_form_are_refused(tmp_path, make, message):
    make(tmp_path / "set")
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path / "set", tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": None}, "Set dataset.path=DIR"),
        ({"size": 0}, "size of Folder must be null, a number in"),
        ({"size": [3]}, "or \\[HEIGHT,WIDTH\\]"),
        ({"size": [3, "a"]}, "size of Folder"),
        ({"resize": "squash"}, "one of crop, stretch, pad"),
        ({"mode": "cmyk"}, "one of rgb, grey"),
        ({"on_error": "ignore"}, "one of refuse, skip"),
        ({"test_fraction": 1}, "test_fraction of Folder"),
        ({"labels": "l.csv", "test_folder": "val"}, "null if labels is set"),
    ],
)
def test_wrong_parameters_are_told_before_any_file_is_read(options, message):
    (problem,) = Folder(**({"path": "x"} | options)).problems()
    assert re.search(message, problem)


def test_other_files_hidden_files_and_loops_of_links_do_not_count(photos, tmp_path, caplog):
    folder, _ = photos
    (folder / "cat" / "Thumbs.db").write_bytes(b"x")
    (folder / "cat" / "notes.txt").write_text("x")
    (folder / "readme.md").write_text("x")
    save(folder / "cat" / ".hidden.png", colour(6, 5))
    save(folder / ".cache" / "1.png", colour(6, 5))
    save(folder / "__MACOSX" / "1.png", colour(6, 5))
    (folder / "empty").mkdir()
    (folder / "cat" / "loop").symlink_to(folder / "cat")
    (folder / "dog" / "deep").mkdir()
    (folder / "dog" / "deep" / "up").symlink_to(folder / "dog")
    (folder / "emu" / "all").symlink_to("..")
    os.mkfifo(folder / "dog" / "pipe.png")
    with caplog.at_level("INFO", "ntkrun"):
        split = load(folder, tmp_path)
    assert (split.n_train + len(split.test), split.classes) == (24, 3)
    assert "5 files of" in caplog.text
    assert "empty holds no image and is left out" in caplog.text


def test_folders_below_a_class_count_and_names_sort_as_numbers(tmp_path):
    assert sorted(["a10", "a2", "B1", "a02", "10", "9"], key=natural) == ["9", "10", "a02", "a2", "a10", "B1"]
    for name in ("a/1.png", "a/more/2.png", "a/more/still/3.png", "b/1.png", "b/2.png"):
        save(tmp_path / "set" / name, colour(2, 2))
    split = load(tmp_path / "set", tmp_path)
    assert np.bincount(np.concatenate([p.y for p in (split.train, split.valid, split.test)])).tolist() == [
        3,
        2,
    ]


def test_a_run_from_files_to_a_model_with_names(tmp_path, capsys):
    """Bright and dark images of two classes are told apart, and the model knows the names."""
    x = RNG.integers(0, 120, (80, 6, 6), dtype=np.uint8)
    x[1::2] += 120
    for i, image in enumerate(x):
        part = "train" if i < 60 else "test"
        save(tmp_path / "set" / part / ("dark", "bright")[i % 2] / f"{i}.png", image)
    words = ["dataset=folder", f"dataset.path={tmp_path / 'set'}", f"data_dir={tmp_path / 'data'}"]
    words += ["feature_dim=64", "depth=2", "baseline=none", f"output_dir={tmp_path / 'out'}"]
    assert cli.main(words) == 0, capsys.readouterr().err
    (folder,) = tmp_path.glob("out/runs/*")
    result = json.loads((folder / "result.json").read_text())
    assert result["test/accuracy"] == 1
    model = Model.load(folder / "model")
    assert model.class_names == ["bright", "dark"]
    assert model.predict(x[60:, ..., None]).tolist() == ["dark", "bright"] * 10
    assert stage.run(Folder(path=str(tmp_path / "set"), data_dir=str(tmp_path / "data"))).n_train == 60
