"""Images as people have them: folders, files and labels."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.cases.base import Case, rows
from tests.images import BOMB

RUN = "feature_dim=32 depth=2 baseline=none tracking.uri=sqlite:///:memory: data_dir={here}/data "
FOLDER = RUN + "dataset=folder dataset.path=photos "
RNG = np.random.default_rng(0)


def image(stage, name, mode="RGB", size=(6, 5), value=None):
    """Write an image, dark for class cat and bright for others."""
    path = stage.here / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    low = 0 if "cat" in name else 130
    pixels = RNG.integers(low, low + 120, (*size, 4), dtype=np.uint8) if value is None else value
    pixels = pixels if mode == "RGBA" else pixels[..., :3] if mode == "RGB" else pixels[..., 0]
    Image.fromarray(pixels).save(path)
    return path


def photos(*more, parts=("",), ending="png", mode="RGB", count=10):
    """Write two classes, and do `more`."""

    def before(stage):
        for part in parts:
            for i in range(count):
                for label in ("cat", "dog"):
                    image(stage, f"{part}{label}/{i}.{ending}", mode)
        for step in more:
            step(stage)

    return before


def put(name, data):
    """Write bytes among the photos."""

    def step(stage):
        (stage.here / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (stage.here / "photos" / name).write_bytes(data)

    return step


def labels(*lines):
    """Write a csv beside flat images."""

    def before(stage):
        for i in range(20):
            image(stage, f"{'cat' if i % 2 else 'dog'}{i}.png")
        (stage.here / "photos" / "labels.csv").write_text("\n".join(lines) + "\n")

    return before


NAMED = [f"{'cat' if i % 2 else 'dog'}{i}.png,{'a cat' if i % 2 else 'a dog'}" for i in range(20)]


def rotten(stage):
    """Flip a bit of the cache of an earlier run."""
    photos()(stage)
    stage.ntkrun(FOLDER)
    (file,) = (stage.here / "data" / "folders").glob("*/pixels.bin")
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


def nothing_kept(stage):
    """Assert that no pixels and no temporary files are left."""
    left = [
        p.name for p in (stage.here / "data").rglob("*") if p.is_file() and not p.name.startswith(".lock")
    ]
    assert left == []


CASES = [
    Case(
        "19.3",
        "one folder per class",
        "it runs; a fifth of each class is the test part, and the classes are called as their folders",
        FOLDER,
        before=photos(),
        number=1.0,
        says=("photos: 16 train", "4 test, 6 x 5 x 3, 2 classes"),
    ),
    Case(
        "19.3",
        "folders train and test, with classes in each",
        "it runs with these parts",
        FOLDER,
        before=photos(parts=("train/", "test/")),
        number=1.0,
        says=("20 train", "20 test"),
    ),
    Case(
        "19.3",
        "folders train, val and test",
        "val is not used, and a line says so",
        FOLDER,
        before=photos(parts=("train/", "val/", "test/")),
        says=("20 train", "20 test", "val is not used", "dataset.test_folder=val"),
    ),
    Case(
        "19.3",
        "folders train and val, with dataset.test_folder=val",
        "val is the test part",
        FOLDER + "dataset.test_folder=val",
        before=photos(parts=("train/", "val/")),
        says=("20 train", "20 test"),
        never=("not used",),
    ),
    Case(
        "19.3",
        "a csv of files and labels that are words",
        "it runs; the words are the classes",
        FOLDER + "dataset.labels=labels.csv",
        before=labels("file,label", *NAMED),
        number=1.0,
        says=("2 classes",),
    ),
    Case(
        "19.3",
        "photos of different sizes, and no size said",
        "refused, with two files, their sizes and what to type",
        FOLDER,
        before=photos(lambda stage: image(stage, "dog/z.png", size=(9, 8))),
        code=3,
        says=("cat/0.png has 6 x 5 pixels and dog/z.png has 9 x 8 pixels", "dataset.size=32"),
        check=nothing_kept,
    ),
    Case(
        "19.3",
        "photos of different sizes with dataset.size=4",
        "it runs: the shorter side is scaled and the middle taken",
        FOLDER + "dataset.size=4",
        before=photos(lambda stage: image(stage, "dog/z.png", size=(9, 8))),
        number=1.0,
        says=("4 x 4 x 3",),
    ),
    *(
        Case(
            "19.3",
            f"images in {ending} files",
            "they run",
            FOLDER,
            before=photos(ending=ending, mode=mode),
            number=1.0,
            says=("6 x 5 x " + ("1" if mode == "L" else "3"),),
        )
        for ending, mode in (("jpg", "L"), ("bmp", "RGB"), ("webp", "RGB"), ("gif", "RGB"), ("tiff", "L"))
    ),
    Case(
        "19.3",
        "the same folder a second time",
        "the pixels come from the cache: no file is decoded again",
        [FOLDER, FOLDER],
        before=photos(),
        number=1.0,
        never=("decoded",),
    ),
    Case(
        "19.8",
        "a rotten bit in the cache of the pixels",
        "one line; the files are decoded again",
        FOLDER,
        before=rotten,
        number=1.0,
        says=("are damaged and are made again", "decoded 20 images"),
    ),
    *(
        Case(
            "19.8",
            f"among the images, {kind}",
            "refused, with its name and the reason; nothing is kept",
            FOLDER,
            before=photos(put("dog/3.png", data)),
            code=3,
            says=(f"dog/3.png cannot be read as an image: {reason}", "dataset.on_error=skip"),
            check=nothing_kept,
        )
        for kind, data, reason in (
            ("an empty file", b"", "it is empty"),
            ("a text file with the ending .png", b"hello", "it is none of PNG, JPEG"),
            ("half a PNG file", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ""),
            ("a small file that unpacks to 1.2 GB", BOMB, "it has more than 89,478,485 pixels"),
        )
    ),
    Case(
        "19.8",
        "two broken files with dataset.on_error=skip",
        "they are left out, with their number, a name and the reason in one line",
        FOLDER + "dataset.on_error=skip",
        before=photos(put("dog/3.png", b""), put("cat/7.png", b"x")),
        says=("2 of 20 images cannot be read and are left out: dog/3.png (it is empty), ...",),
    ),
    Case(
        "19.8",
        "Thumbs.db, notes, hidden files, and a link to the whole folder, among the images",
        "they are ignored; a line tells the number of files",
        FOLDER,
        before=photos(
            put("cat/Thumbs.db", b"x"),
            put("cat/notes.txt", b"x"),
            put("dog/._1.png", b"x"),
            lambda stage: os.symlink("..", stage.here / "photos" / "cat" / "up"),
        ),
        number=1.0,
        says=("3 files of", "are ignored", "16 train"),
    ),
    Case(
        "19.8",
        "images without folders of classes",
        "refused: folders, or a csv",
        FOLDER,
        before=lambda stage: image(stage, "1.png"),
        code=3,
        says=("one folder per class", "dataset.labels=FILE.csv"),
    ),
    Case(
        "19.8",
        "a class of test/ that train/ does not have",
        "refused, with its name",
        FOLDER,
        before=photos(lambda stage: image(stage, "test/emu/1.png"), parts=("train/", "test/")),
        code=3,
        says=("among cat, dog. Got 'emu'",),
    ),
    Case(
        "19.8",
        "a csv of labels that names a file twice",
        "refused, with both rows",
        FOLDER + "dataset.labels=labels.csv",
        before=labels("file,label", *NAMED, NAMED[2]),
        code=3,
        says=("dog2.png is in row 3 and in row 21",),
    ),
    Case(
        "19.8",
        "a csv of labels with other names of columns",
        "refused: file and label are wanted",
        FOLDER + "dataset.labels=labels.csv",
        before=labels("id,class", *NAMED),
        code=3,
        says=("names the columns file and label", "'id, class'"),
    ),
    Case(
        "19.8",
        "a csv of labels that names a file which is not there",
        "refused, with the name",
        FOLDER + "dataset.labels=labels.csv",
        before=labels("file,label", *NAMED, "none.png,a cat"),
        code=3,
        says=("none.png cannot be read as an image: it is absent",),
    ),
    Case(
        "19.3",
        "a set of scikit-learn that has to be downloaded, without a network",
        "one line: where to put it",
        RUN + "dataset=sklearn dataset.title=california_housing",
        env={"NTKRUN_OFFLINE": "1"},
        code=6,
        says=("could not be downloaded", "fetch_california_housing(data_home=DIR)"),
    ),
    Case(
        "19.3",
        "a set inside scikit-learn, with words for classes",
        "it runs",
        RUN + "dataset=sklearn dataset.title=iris method=raw",
        number=0.8333,
        says=("iris: 120 train", "3 classes"),
    ),
    Case(
        "19.3",
        "arrays in four .npy files",
        "they run as those of an .npz do",
        RUN + "dataset=npy dataset.path=. method=raw",
        before=lambda stage: [
            np.save(
                stage.here / f"{key}.npy",
                np.arange(40) % 2 if key[0] == "y" else np.eye(40, 3) + np.arange(40)[:, None] % 2,
            )
            for key in ("x_train", "y_train", "x_test", "y_test")
        ],
        says=("40 train", "40 test"),
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
