"""Test that broken files are told, and that the cache of pixels is used and checked."""

import json
import os
import time

import numpy as np
import pytest

from ntkrun.datasets.images import cache
from ntkrun.errors import DataError, MachineError
from tests.images import BOMB, colour, load, png, save

pytestmark = pytest.mark.usefixtures("listening")


def test_mode_is_grey_if_all_files_are(tmp_path):
    for label in "ab":
        for i in range(4):
            save(tmp_path / "grey" / label / f"{i}.png", colour(3, 3)[..., 0])
    assert load(tmp_path / "grey", tmp_path).train.x.shape[1:] == (3, 3, 1)
    assert load(tmp_path / "grey", tmp_path, mode="rgb").train.x.shape[1:] == (3, 3, 3)
    save(tmp_path / "grey" / "b" / "5.png", colour(3, 3))
    assert load(tmp_path / "grey", tmp_path).train.x.shape[1:] == (3, 3, 3)
    assert load(tmp_path / "grey", tmp_path, mode="grey").train.x.shape[1:] == (3, 3, 1)


def test_images_of_unequal_size_want_a_size(photos, tmp_path):
    folder, _ = photos
    save(folder / "dog" / "100.png", colour(9, 8))
    with pytest.raises(DataError) as caught:
        load(folder, tmp_path)
    sides = "cat/0.png has 6 x 5 pixels and dog/100.png has 9 x 8 pixels"
    text = f"size of Folder must be set, as images differ: {sides}. Got None instead. Set dataset.size=32."
    assert str(caught.value) == text
    assert load(folder, tmp_path, size=4).train.x.shape[1:] == (4, 4, 3)
    assert load(folder, tmp_path, size=[4, 7]).train.x.shape[1:] == (4, 7, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"no image at all", "it is none of PNG, JPEG, BMP, WEBP, GIF, TIFF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is none of PNG"),
        (BOMB, "it has more than 89,478,485 pixels"),
        (png((10_000, 9_000, 8, 2, 0, 0, 0)), "it has more than 89,478,485 pixels"),
        ("cut", "image file is truncated"),
        (png((5, 6, 8, 2, 0, 0, 0), b"\0"), "image file is truncated"),
        (png((0, 0, 8, 2, 0, 0, 0), b"\0"), ""),
    ],
)
def test_broken_files_are_refused_or_left_out(photos, tmp_path, data, reason, caplog):
    folder, _ = photos
    bad = folder / "dog" / "7.png"
    bad.write_bytes(bad.read_bytes()[:60] if data == "cut" else data)
    with pytest.raises(DataError, match=f"^dog/7.png cannot be read as an image: .*{reason}") as caught:
        load(folder, tmp_path)
    assert "dataset.on_error=skip" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and not p.name.startswith(".lock")]
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        split = load(folder, tmp_path, on_error="skip")
        assert split.n_train + len(split.test) == 23
        assert caplog.text.count("1 of 24 images cannot be read and are left out: dog/7.png") == 1
    with pytest.raises(DataError, match=r"dog/7\.png cannot be read"):  # also with a cache of the others
        load(folder, tmp_path)


def test_only_broken_files(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"None of 2 images can be read\. The first is a/1\.png: it is empty"):
        load(tmp_path / "set", tmp_path, on_error="skip")


def test_rows_stay_with_their_labels_if_files_are_left_out(tmp_path):
    for i in range(60):
        save(
            tmp_path / "set" / ("train" if i < 40 else "test") / str(i % 2) / f"{i}.png",
            np.full((2, 2), i, np.uint8),
        )
    for name in ("train/0/0.png", "train/1/13.png", "test/0/44.png"):
        (tmp_path / "set" / name).write_bytes(b"x")
    split = load(tmp_path / "set", tmp_path, on_error="skip")
    assert (split.n_train, len(split.test)) == (38, 19)
    for part in (split.train, split.valid, split.test):
        assert np.array_equal(part.x[:, 0, 0, 0] % 2, part.y)
    assert split.test.x.min() >= 40
    assert set(split.test.x[:, 0, 0, 0]) == set(range(40, 60)) - {44}


def decoded(caplog):
    return "decoded" in caplog.text


def test_the_cache_is_used_until_a_file_or_an_option_changes(photos, tmp_path, caplog):
    folder, x = photos

    def again(**options):
        caplog.clear()
        with caplog.at_level("INFO", "ntkrun"):
            return load(folder, tmp_path, **options)

    first = again()
    assert decoded(caplog)
    assert again().sha256 == first.sha256
    assert not decoded(caplog)
    again(split_seed=1, test_fraction=0.5)
    assert not decoded(caplog)
    for option in ({"size": 4}, {"mode": "grey"}, {"size": 4, "resize": "pad"}):
        again(**option)
        assert decoded(caplog), option
    save(folder / "cat" / "0.png", 255 - x[0])
    os.utime(folder / "cat" / "0.png", ns=(time.time_ns(), 1))
    assert again().sha256 != first.sha256
    assert decoded(caplog)


@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "record", "shape", "no json"])
def test_a_damaged_cache_is_made_again_with_a_line(photos, tmp_path, caplog, damage):
    folder, _ = photos
    first = load(folder, tmp_path).sha256
    (pixels,) = tmp_path.glob("cache/folders/*/pixels.bin")
    record = pixels.with_name("record.json")
    data = pixels.read_bytes()
    if damage == "bit":
        pixels.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    elif damage == "cut":
        pixels.write_bytes(data[:-1])
    elif damage == "gone":
        pixels.unlink()
    elif damage == "record":
        record.write_text("[]")
    elif damage == "shape":
        record.write_text(json.dumps(json.loads(record.read_text()) | {"shape": [24, 6, 5, 4]}))
    else:
        record.write_bytes(b"\xff")
    assert load(folder, tmp_path).sha256 == first
    assert caplog.text.count("are damaged and are made again") == 1
    assert pixels.read_bytes() == data


def test_a_folder_without_leave_to_write_keeps_nothing_and_goes_on(photos, tmp_path, caplog):
    folder, _ = photos
    (tmp_path / "cache").write_text("a file in the way")
    split = load(folder, tmp_path)
    assert split.n_train == 19
    assert caplog.text.count("the decoded images are not kept") == 1
    assert "Set data_dir=DIR" in caplog.text


def test_images_beyond_the_memory_are_refused(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.machine, "available_memory", lambda: 1000)
    with pytest.raises(MachineError, match=r"24 images of 6 x 5 x 3 take .* Lower dataset.size"):
        load(photos[0], tmp_path)
