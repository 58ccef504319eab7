"""HDF5 files as people have them, and as they break under a run."""

import os

import h5py
import numpy as np
import pytest

from ntkrun.datasets.hdf5 import Hdf5
from ntkrun.datasets.split import Role
from tests.cases.base import Case, rows

ROWS = 50_000
RUN = "method=raw baseline=none tracking.uri=sqlite:///:memory: dataset.n_train=200 dataset.n_test=50 "
H5 = f"dataset=hdf5 dataset.path={{here}}/d.h5 {RUN}"


def arrays(n=400):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = rng.normal(size=(n, 6)) + y[:, None]
    return {"x_train": x, "y_train": y, "x_test": x[: n // 4].copy(), "y_test": y[: n // 4].copy()}


def file(change=lambda made: made, n=400):
    """Write the arrays after a change; a value that can be called makes its dataset itself."""

    def before(stage):
        with h5py.File(stage.here / "d.h5", "w") as out:
            for name, value in change(arrays(n)).items():
                if callable(value):
                    value(stage, out, name)
                else:
                    out[name] = value

    return before


def instead(make):
    return lambda made: made | {"x_train": make}


def set_to(name, function):
    return lambda made: made | {name: function(made[name])}


def soft(stage, out, name):
    out["other"] = arrays()[name]
    out[name] = h5py.SoftLink("/other")


def beside(stage):
    with h5py.File(stage.here / "other.h5", "w") as other:
        other["a"] = arrays()["x_train"]
    return "other.h5"


def external(stage, out, name):
    out[name] = h5py.ExternalLink(beside(stage), "/a")


def virtual(stage, out, name):
    layout = h5py.VirtualLayout((400, 6), "f8")
    layout[:] = h5py.VirtualSource(beside(stage), "a", shape=(400, 6))
    out.create_virtual_dataset(name, layout)


def raw(stage, out, name):
    (stage.here / "raw.bin").write_bytes(arrays()[name].tobytes())
    out.create_dataset(name, (400, 6), "f8", external=[("raw.bin", 0, 400 * 48)])


def unwritten(stage, out, name):
    out.create_dataset(name, (10**12, 6), "f4", chunks=(1000, 6))


def packed(stage, out, name):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((100, 6))
    plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (1,))
    space = h5py.h5s.create_simple((400, 6))
    made = h5py.h5d.create(out.id, name.encode(), h5py.h5t.IEEE_F64LE, space, plist)
    h5py.Dataset(made)[...] = arrays()[name]


def cut(stage):
    file()(stage)
    path = stage.here / "d.h5"
    path.write_bytes(path.read_bytes()[:-1000])


def under_way(harm):
    """Load the file, harm it, and read the last rows of the training part."""

    def call(stage):
        file(n=ROWS)(stage)
        split = Hdf5(path=str(stage.here / "d.h5")).load()
        for part in (split.train, split.valid, split.test):
            part.x.stored._last = None
            if (opened := part.x.stored._file) is not None:
                opened.close()
                part.x.stored._file = None
        harm(stage)
        import torch

        split.batch(Role.TRAIN, len(split.train) - 10, len(split.train), torch.float64)

    return call


def replaced(stage):
    there = stage.here / "d.h5"
    data = there.read_bytes()
    (stage.here / "new").write_bytes(data)
    os.replace(stage.here / "new", there)


def rotten(stage):
    """Flip a bit of the last row and keep the time of change, as a failing disk does."""
    path = stage.here / "d.h5"
    about, data = path.stat(), bytearray(path.read_bytes())
    with h5py.File(path) as found:
        x = found["x_train"]
        at, row = x.id.get_offset(), x.dtype.itemsize * x.shape[1]
    for i in range(ROWS):
        data[at + i * row + 1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def same(stage):
    one, other = stage.results()
    keys = [key for key in one if key.startswith(("test/", "valid/", "lambda", "data_", "features_key"))]
    assert {key: one[key] for key in keys} == {key: other[key] for key in keys}


def both(stage):
    file()(stage)
    np.savez(stage.here / "d.npz", **arrays())


def words(made):
    kinds = np.array(["cat", "dog"], h5py.string_dtype())
    return made | {key: kinds[made[key]] for key in ("y_train", "y_test")}


def one_set(made):
    return {"data/x": made["x_train"], "data/y": made["y_train"]}


def nan_at(row):
    def change(made):
        made["x_train"][row, 3] = np.nan
        return made

    return change


REFUSED = [
    ("an HDF5 file that ends too soon", "refused: it is truncated", cut, ("truncated", "Copy it again")),
    (
        "a text called .h5",
        "refused",
        lambda stage: (stage.here / "d.h5").write_text("no\n"),
        ("is not a readable HDF5 file",),
    ),
    (
        "fewer labels than rows in an HDF5 file",
        "refused, with both numbers",
        file(set_to("y_train", lambda y: y[:-1])),
        ("y_train of d must be one label for each of 400 rows. Got (399,)",),
    ),
    (
        "fewer labels than rows in an HDF5 file without a test part",
        "refused, with both numbers",
        file(lambda made: {"x": made["x_train"], "y": made["y_train"][:-1]}),
        ("y of d must be one label for each of 400 rows. Got (399,)",),
    ),
    (
        "inputs that are words in an HDF5 file",
        "refused",
        file(set_to("x_train", lambda x: np.full(x.shape, "a", h5py.string_dtype()))),
        ("x_train of d.h5 must be of real numbers. Got 'words'",),
    ),
    *(
        (
            f"inputs of type {kind} in an HDF5 file",
            "refused, with the type",
            file(set_to("x_train", lambda x, kind=kind: x.astype(kind))),
            (says,),
        )
        for kind, says in (("complex128", "must be of real numbers. Got 'complex128'"), ("bool", "Got 'bool"))
    ),
    (
        "a NaN in row 40,000 of an HDF5 file",
        "refused, with the row",
        file(nan_at(40_000), n=ROWS),
        ("x_train of d must be finite (row 40000 is not)",),
    ),
    (
        "an HDF5 file with datasets of other names",
        "refused, with the names and shapes that are there, and the keys",
        file(lambda made: {"images": made["x_train"], "kinds": made["y_train"]}),
        ("x_train and y_train, or x and y", "images (400, 6), kinds (400,)", "dataset.x=NAME dataset.y=NAME"),
    ),
    (
        "an HDF5 file with test inputs and no test labels",
        "refused, with the name that is absent",
        file(lambda made: {k: v for k, v in made.items() if k != "y_test"}),
        ("must be a file with y_test",),
    ),
    (
        "a soft link in an HDF5 file",
        "refused: it may lead elsewhere",
        file(instead(soft)),
        ("stored in the file itself", "a link to /other"),
    ),
    (
        "an HDF5 file that links to another",
        "refused, with the other's name; it is not opened",
        file(instead(external)),
        ("stored in the file itself", "a link to other.h5:/a"),
    ),
    (
        "a virtual dataset",
        "refused: absent sources would read as zeros",
        file(instead(virtual)),
        ("a virtual dataset",),
    ),
    (
        "an HDF5 dataset with its numbers in another file",
        "refused, with its name",
        file(instead(raw)),
        ("numbers in", "raw.bin"),
    ),
    (
        "10^12 rows that are declared and not written",
        "refused before memory is taken: they would read as zeros",
        file(instead(unwritten)),
        ("must be wholly written", "(1000000000000, 6)"),
    ),
    (
        "chunks packed by a filter that this h5py lacks",
        "refused, with the filter's number and the command that repacks them",
        file(instead(packed)),
        ("packed by a filter that h5py has", "(32001)", "h5repack -f GZIP=1 d.h5 NEW.h5"),
    ),
    (
        "a compound type in an HDF5 file",
        "refused",
        file(set_to("x_train", lambda x: np.zeros(len(x), [("a", "f4"), ("b", "f4")]))),
        ("must be of real numbers",),
    ),
]

CASES = [
    *(Case("20.2", what, now, H5, before=make, code=3, says=says) for what, now, make, says in REFUSED),
    Case(
        "20.2",
        "the same arrays as .npz and as HDF5",
        "the same data hash, shards and scores",
        (f"dataset=npz dataset.path={{here}}/d.npz {RUN}", H5),
        before=both,
        check=same,
    ),
    Case(
        "20.2",
        "words for labels in an HDF5 file",
        "they are classes, as in .npz",
        H5,
        before=file(words),
        says=("2 classes",),
    ),
    Case(
        "20.2",
        "an HDF5 file with inputs and labels in a group, and no test part",
        "a share of the rows is the test part",
        H5.replace("n_test=50", "n_test=40") + "dataset.x=data/x dataset.y=data/y",
        before=file(one_set),
        says=("200 train (40 of them held out for lambda), 40 test, 6, 2 classes",),
    ),
    Case(
        "20.2",
        "a file that is replaced under a run, by an equal one",
        "the run ends with one line; nothing of the new file is used",
        call=under_way(replaced),
        code=4,
        says=("has been replaced or written to. Run the same command again.",),
    ),
    Case(
        "20.2",
        "bits that a disk flips under a run, with the time of change as before",
        "the run ends with one line that names the rows",
        call=under_way(rotten),
        code=4,
        says=("rows ", "of x_train in ", "are not those that the run began with"),
    ),
    Case(
        "20.2",
        "a file that is removed under a run",
        "the run ends with one line",
        call=under_way(lambda stage: (stage.here / "d.h5").unlink()),
        code=4,
        says=("cannot be read: No such file",),
    ),
    Case(
        "20.2",
        "new rows in an HDF5 file, called x_new",
        "they are predicted",
        (H5, "predict latest {here}/new.h5 --output {here}/out.csv"),
        before=lambda stage: (file()(stage), new(stage, "x_new")),
        says=("predicted   9 rows",),
    ),
    Case(
        "20.2",
        "new rows in an HDF5 file by another name",
        "refused, with the names that are there",
        (H5, "predict latest {here}/new.h5 --output {here}/out.csv"),
        before=lambda stage: (file()(stage), new(stage, "rows")),
        code=3,
        says=("an HDF5 file with x. Got 'rows (9, 6)'",),
    ),
]


def new(stage, name):
    with h5py.File(stage.here / "new.h5", "w") as out:
        out[name] = arrays()["x_train"][:9]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
