"""Test that image files become the arrays they hold, in a known order, and that the cache is checked."""

import json
import logging
import os
import re
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from ntkrun.cli import main as cli
from ntkrun.datasets.folder import Folder
from ntkrun.datasets.images import cache
from ntkrun.datasets.images.decode import Broken, Form, decode, limits
from ntkrun.datasets.images.listing import natural
from ntkrun.errors import DataError, MachineError
from ntkrun.model import Model
from ntkrun.stages import data as stage

RNG = np.random.default_rng(5)
RGB, GREY = Form(None, "crop", False), Form(None, "crop", True)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def colour(*shape):
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


def png(ihdr, body=b""):
    """Return the bytes of a PNG file with this header and these rows."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rest = chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *ihdr)) + rest


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    """Let caplog hear the package, also after a test of the command line."""
    monkeypatch.setattr(logging.getLogger("ntkrun"), "propagate", True)


@pytest.fixture
def photos(tmp_path):
    """Make 24 colour images of 6 x 5 pixels in three classes; return their folder and array."""
    x = colour(24, 6, 5)
    for i, image in enumerate(x):
        save(tmp_path / "photos" / ("cat", "dog", "emu")[i % 3] / f"{i}.png", image)
    return tmp_path / "photos", x


def load(folder, tmp_path, **options):
    return Folder(path=str(folder), data_dir=str(tmp_path / "cache"), **options).load()


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


@pytest.mark.parametrize(
    ("name", "mode", "shape"),
    [
        ("l.png", "L", ()),
        ("rgb.bmp", "RGB", (3,)),
        ("rgb.webp", "RGB", (3,)),
        ("l.tif", "L", ()),
        ("rgb.ppm", "RGB", (3,)),
        ("l.pgm", "L", ()),
        ("rgb.tiff", "RGB", (3,)),
    ],
)
def test_formats_without_loss_give_their_values(tmp_path, name, mode, shape):
    array = RNG.integers(0, 256, (7, 5, *shape), dtype=np.uint8)
    path = save(tmp_path / name, array, **({"lossless": True} if name.endswith("webp") else {}))
    got = decode(path, GREY if mode == "L" else RGB)
    assert np.array_equal(got, array.reshape(7, 5, -1))


def test_jpeg_and_gif_are_near_their_values(tmp_path):
    smooth = np.add.outer(np.arange(24) * 4, np.arange(16) * 5).astype(np.uint8)
    for name in ("a.jpg", "a.gif"):
        save(tmp_path / name, smooth, **({"quality": 95} if name == "a.jpg" else {}))
        assert np.abs(decode(tmp_path / name, GREY)[..., 0].astype(int) - smooth).max() <= 3


def test_orientation_in_exif_is_applied(tmp_path):
    array = colour(4, 7)
    upright = {3: array[::-1, ::-1], 6: np.rot90(array, -1), 8: np.rot90(array), 2: array[:, ::-1]}
    for turn, expected in upright.items():
        exif = Image.Exif()
        exif[0x0112] = turn
        path = save(tmp_path / f"{turn}.png", array, exif=exif)
        assert np.array_equal(decode(path, RGB), expected)


def test_sixteen_bits_become_eight(tmp_path):
    values = RNG.integers(0, 65536, (4, 6), dtype=np.uint16)
    for name in ("a.png", "a.tif", "a.pgm"):
        assert np.array_equal(decode(save(tmp_path / name, values), GREY)[..., 0], values >> 8), name
    rgb = RNG.integers(0, 65536, (4, 6, 3)).astype(">u2")
    (tmp_path / "rgb.png").write_bytes(
        png((6, 4, 16, 2, 0, 0, 0), b"".join(b"\0" + r.tobytes() for r in rgb))
    )
    assert np.array_equal(decode(tmp_path / "rgb.png", RGB), (rgb >> 8).astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_of_32_bits_are_refused(tmp_path, dtype):
    with pytest.raises(Broken, match="its values have 32 bits"):
        decode(save(tmp_path / "a.tif", np.ones((3, 3), dtype)), GREY)


def test_palettes_bits_and_transparency(tmp_path):
    palette = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3), "L").convert("P")
    palette.putpalette([v for i in range(6) for v in (40 * i, 7, 255 - i)])
    palette.save(tmp_path / "p.png")
    expected = np.array([[40 * i, 7, 255 - i] for i in range(6)]).reshape(2, 3, 3)
    assert np.array_equal(decode(tmp_path / "p.png", RGB), expected)
    palette.save(tmp_path / "t.png", transparency=2)
    expected[0, 2] = 255
    assert np.array_equal(decode(tmp_path / "t.png", RGB), expected)
    bits = RNG.integers(0, 2, (5, 9)).astype(bool)
    Image.fromarray(bits).save(tmp_path / "1.png")
    assert np.array_equal(decode(tmp_path / "1.png", GREY)[..., 0], 255 * bits)
    rgba = np.concatenate([colour(3, 3), np.full((3, 3, 1), 255, np.uint8)], 2)
    rgba[0, :, 3] = 0  # transparent pixels show white
    opaque = np.where(rgba[..., 3:] == 255, rgba[..., :3], 255)
    assert np.array_equal(decode(save(tmp_path / "rgba.png", rgba), RGB), opaque)
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    cmyk.save(tmp_path / "c.jpg")
    assert np.abs(decode(tmp_path / "c.jpg", RGB).astype(int) - [255, 0, 0]).max() < 8


def test_resize_crops_stretches_or_pads(tmp_path):
    # red, green and blue thirds of a wide image
    wide = np.repeat(np.eye(3, dtype=np.uint8) * 255, 20, 0)[None].repeat(20, 0)
    path = save(tmp_path / "wide.png", wide)
    crop, stretch, pad = (decode(path, Form((10, 10), kind, False)) for kind in ("crop", "stretch", "pad"))
    assert {a.shape for a in (crop, stretch, pad)} == {(10, 10, 3)}
    assert (crop[:, 1:9] == [0, 255, 0]).all()
    assert stretch[5, 0].tolist() == [255, 0, 0]
    assert stretch[5, 9].tolist() == [0, 0, 255]
    assert (pad[:3] == 0).all()
    assert pad[5, 5].tolist() == [0, 255, 0]
    assert decode(path, Form((4, 12), "crop", False)).shape == (4, 12, 3)
    # an image of the wanted size keeps its values
    exact = colour(10, 8)
    path = save(tmp_path / "exact.png", exact)
    for kind in ("crop", "stretch", "pad"):
        assert np.array_equal(decode(path, Form((10, 8), kind, False)), exact)


def test_a_large_jpeg_is_decoded_at_a_fraction(tmp_path):
    smooth = np.add.outer(np.arange(800) / 8, np.arange(800) / 6).astype(np.uint8)
    path = save(tmp_path / "big.jpg", smooth, quality=95)
    small = decode(path, Form((32, 32), "crop", True))[..., 0].astype(int)
    assert np.abs(small - smooth.reshape(32, 25, 32, 25).mean((1, 3))).max() <= 3


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


BOMB = png((20_000, 20_000, 8, 2, 0, 0, 0))


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


def test_any_damage_is_a_reason_in_one_line(tmp_path):
    """Flip and cut bytes of small images of every format: decode gives an array or says Broken."""
    array, path = colour(8, 9), tmp_path / "x"
    reasons = []
    for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"):
        Image.fromarray(array).save(path, kind)
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole[: RNG.integers(1, len(whole) + 1)] if RNG.random() < 0.3 else whole)
            for at in RNG.integers(0, len(data), RNG.integers(0, 4)):
                data[at] = RNG.integers(256)
            path.write_bytes(data)
            try:
                with limits():
                    assert decode(path, Form((5, 5), "crop", False)).shape == (5, 5, 3)
            except Broken as error:
                reasons.append(str(error))
    assert len(reasons) > 100
    assert all(reasons)
    assert not any("\n" in reason for reason in reasons)


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
