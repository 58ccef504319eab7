"""X1-X46: bad arrays and files exit with 3 and one line, or run with finite numbers if that is right."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from ntkrun.cli import main as cli
from tests.faults.plan import record

RNG = np.random.default_rng(1)
N, M = 40, 12


def arrays(**changes):
    y, t = np.arange(N) % 2, np.arange(M) % 2
    good = {"x_train": RNG.normal(size=(N, 6, 5, 2)) + y[:, None, None, None], "y_train": y}
    good |= {"x_test": RNG.normal(size=(M, 6, 5, 2)) + t[:, None, None, None], "y_test": t}
    for key, change in changes.items():
        if change == "train":
            good |= {k: good[k.replace("test", "train")][:M] for k in ("x_test", "y_test")}
            continue
        good[key] = change(good[key].copy()) if callable(change) else change
    return good


def put(at, value):
    def change(x):
        x[at] = value
        return x

    return change


def both(x=None, y=None):
    """Change both parts in the same way."""
    out = {f"x_{p}": x for p in ("train", "test")} if x else {}
    return out | ({f"y_{p}": y for p in ("train", "test")} if y else {})


# case: changes of the good arrays, text in the line (None: it runs)
ARRAYS = {
    "X1 NaN in one pixel": ({"x_train": put((7, 1, 2, 0), np.nan)}, "finite (row 7 is not)"),
    "X2 +inf": ({"x_test": put((3, 0, 0, 0), np.inf)}, "x_test of bad must be finite (row 3"),
    "X3 -inf": ({"x_train": put((0, 0, 0, 0), -np.inf)}, "finite (row 0 is not)"),
    "X4 one black image": ({"x_train": put(5, 0.0)}, None),
    "X5 all images black": (both(x=np.zeros_like), None),
    "X6 constant features": (both(x=lambda x: np.ones_like(x) * 3), None),
    "X7 duplicate rows": ({"x_train": lambda x: np.repeat(x[:4], N // 4, 0)}, None),
    "X8 test rows that are training rows": ({"x_test": "train"}, None),
    "X9 one class only": ({"y_train": np.zeros_like}, "of at least two classes"),
    "X10 class absent from train": ({"y_test": put(0, 2)}, "y_test of bad must be in 0..1"),
    "X11 class absent from test": ({"y_test": np.zeros_like}, None),
    "X12 no rows": ({"x_train": lambda x: x[:0], "y_train": lambda y: y[:0]}, "must be not empty"),
    "X13 one row": ({"x_train": lambda x: x[:1], "y_train": lambda y: y[:1]}, ""),
    "X14 too few rows to hold some out": (
        {"x_train": lambda x: x[:2], "y_train": lambda y: y[:2]},
        "hold out",
    ),
    "X15 as many classes as rows": ({"y_train": lambda y: np.arange(N)}, None),
    "X16 fewer rows than columns": ({}, None),
    "X17 label -1": ({"y_train": put(4, -1)}, None),
    "X18 label as large as the number of classes": (
        {"y_test": put(3, 2)},
        "y_test of bad must be in 0..1 (row 3 is not). Got 2",
    ),
    "X19 label 255 in uint8": ({"y_train": lambda y: put(4, 255)(y.astype(np.uint8))}, None),
    "X20 labels 1.5": ({"y_train": lambda y: y + 0.5}, "labels for classification. Got 0.5"),
    "X21 NaN label": (
        {"y_train": lambda y: put(2, np.nan)(y.astype(float))},
        "classification. Got nan",
    ),
    "X22 words as labels": (
        {"y_train": lambda y: y.astype(str)},
        "training labels 0, 1 (row 0 is not)",
    ),
    "X23 labels of another length": ({"y_train": lambda y: y[:-1]}, f"one label for each of {N} rows"),
    "X24a rank 1": ({"x_train": lambda x: x[:, 0, 0, 0]}, "rows (n, d) or images (n, H, W, C)"),
    "X24b rank 3": ({"x_train": lambda x: x[..., 0]}, "shaped like x_train, (n, (6, 5))"),
    "X24c rank 5": ({"x_train": lambda x: x[..., None]}, "rows (n, d) or images (n, H, W, C)"),
    "X25 another shape in test": ({"x_test": lambda x: x.swapaxes(1, 2)}, "shaped like x_train"),
    "X26 no channels": (both(x=lambda x: x[..., :0]), "must be not empty"),
    "X27 images of one pixel": (both(x=lambda x: x[:, :1, :1, :1]), None),
    "X29a complex": ({"x_train": lambda x: x.astype(complex)}, "of a real number type"),
    "X29b dates": ({"x_train": lambda x: x.astype("datetime64[s]")}, "of a real number type"),
    "X29c structured": ({"y_train": lambda y: y.astype([("a", int)])}, "of numbers or words"),
    "X29d boolean": ({"x_train": lambda x: x > 0}, "of a real number type"),
    "X38 objects, which would be unpickled": (
        {"x_train": lambda x: np.array([object()] * N)},
        "not a readable .npz file of plain arrays",
    ),
    "X30 big-endian and Fortran order": (both(x=lambda x: np.asfortranarray(x.astype(">f8"))), None),
    "X31 1e308": (both(x=lambda x: x / np.abs(x).max() * 1e308), "at most 1e+150 in size"),
    "X32 denormal numbers": (both(x=lambda x: x * 1e-310), None),
    "X33 float16": (both(x=lambda x: x.astype(np.float16)), None),
    "X34 bytes and floats mixed": (
        {"x_train": lambda x: (x * 20 + 128).clip(0, 255).astype(np.uint8)},
        "x_test",
    ),
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "out"


def start(out, path, capsys, *words):
    words = [
        f"dataset.path={path}",
        f"output_dir={out}",
        "baseline=none",
        "depth=2",
        "feature_dim=64",
        *words,
    ]
    before = set(out.rglob("*")) if out.exists() else set()
    code = cli.main(words)
    after = set(out.rglob("*")) if out.exists() else set()
    return code, capsys.readouterr().err, after - before


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(case, out, tmp_path, capsys):
    changes, message = ARRAYS[case]
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    code, err, left = start(out, tmp_path / "bad.npz", capsys, "dataset=npz")
    assert "Traceback" not in err
    if message is None:
        assert code == 0, err
        (path,) = [p for p in left if p.name == "result.json" and p.parent.parent.name == "runs"]
        result = json.loads(path.read_text())
        assert all(np.isfinite(v) for v in result.values() if isinstance(v, float))
        # black images are duplicates too
        said = f"{M} of the {M} test rows also occur in training" in err
        assert said == (case[:3] in ("X8 ", "X5 ", "X6 "))
    else:
        assert code == 3, err
        assert message in err
        lines = [line for line in err.strip().splitlines() if not line.startswith("data   ")]
        assert len(lines) == 1
        assert not left
    record("X", case, 1)


def npz_with(name, data):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays())
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr(name, data)
    return buffer.getvalue()


def npz_of(descr, shape, write, **how):
    """Make a .npz whose x_train has the given header and the content from `write`; other arrays are good."""
    head = str({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **how) as file:
        with file.open("x_train.npy", "w", force_zip64=True) as member:
            member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
            write(member)
        for key, array in arrays().items():
            if key != "x_train":
                part = io.BytesIO()
                np.save(part, array)
                file.writestr(f"{key}.npy", part.getvalue())
    return buffer.getvalue()


def lying_header(shape):
    """Make a .npz whose first array claims to be far larger than it is."""
    return npz_of("<f8", shape, lambda member: member.write(bytes(64)))


def bomb():
    """Make a .npz of compressed zeros that claims ten gigabytes."""

    def zeros(member):
        for _ in range(64):
            member.write(bytes(1 << 20))

    return npz_of("|u1", (10 << 30, 1), zeros, compression=zipfile.ZIP_DEFLATED)


def plain():
    buffer = io.BytesIO()
    np.savez(buffer, **arrays())
    return buffer.getvalue()


FILES = {
    "X35 empty file": (lambda: b"", 3),
    "X37 another kind of file": (lambda: b"col\n1\n2\n", 3),
    "X40 cut": (lambda: plain()[:700], 3),
    "X41 member named ../x.npy": (lambda: npz_with("../x.npy", b"x"), 0),
    "X42a shape 2**63": (lambda: lying_header((2**63,)), 3),
    "X42b shape larger than the data": (lambda: lying_header((1000, 6, 5, 2)), 3),
    "X28 65,535 x 65,535 pixels": (lambda: lying_header((40, 65535, 65535, 2)), 3),
    "X39 bomb": (bomb, 3),
}


@pytest.mark.parametrize("case", FILES)
def test_npz_files(case, out, tmp_path, capsys):
    make, code = FILES[case]
    path = tmp_path / "bad.npz"
    path.write_bytes(make())
    got, err, left = start(out, path, capsys, "dataset=npz")
    assert got == code, err
    assert "Traceback" not in err
    if code:
        assert len(err.strip().splitlines()) == 1
        assert not left
    assert not (tmp_path.parent / "x.npy").exists()
    record("X", case, 1)


def test_a_folder_in_place_of_a_file(out, tmp_path, capsys):
    code, err, _ = start(out, tmp_path, capsys, "dataset=npz")
    assert code == 3
    assert "an existing file" in err
    record("X", "X36 a folder", 1)


TABLES = {
    "X43 not UTF-8": (b"a,b\n1,\xff\n", "of at least two classes"),
    "X44 ragged": (b"a,b\n1,2\n3\n4,5,6\n", "is not a table"),
    "X46 formulas": (b"a,b\n=cmd(),2\n3,4\n", "a column that varies"),
    "X35b empty table": (b"", "is not a table"),
    "X45 a million columns": (b",".join([b"1"] * 10**6) + b"\n" + b",".join([b"2"] * 10**6) + b"\n", ""),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case, out, tmp_path, capsys):
    data, message = TABLES[case]
    path = tmp_path / "bad.csv"
    path.write_bytes(data)
    code, err, left = start(out, path, capsys, "dataset=csv", "method=rff")
    assert code == 3, err
    assert message in err
    assert "Traceback" not in err
    lines = [line for line in err.strip().splitlines() if not line.startswith("data   ")]
    assert len(lines) == 1
    assert not left
    record("X", case, 1)
