"""X51, X55-X62: hostile archives and pickles write nothing; unpacked sizes and memory stay limited."""

import gzip
import io
import pickle
import tarfile
import tracemalloc

import pytest

from ntkrun.datasets.archive import read_members, read_pickled_arrays
from ntkrun.errors import DataError
from tests.faults.plan import record

SIZES = {"a.bin": (10, 10), "b.bin": (1, 20)}
GOOD = {"a.bin": bytes(range(10)), "b.bin": b"bb"}


def entry(name, data=b"evil", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
    return info, data


def good():
    return [entry(name, data) for name, data in GOOD.items()]


def write(path, members):
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))


def chain():
    """Make links whose expanded path is longer than the system resolves: CVE-2025-4517."""
    long, members = "d" * 200, []
    for step in "abcdefghijklmnop":
        members += [
            entry(f"{step}/{long}", kind=tarfile.DIRTYPE),
            entry(step * 2, b"", tarfile.SYMTYPE, long),
        ]
    return [*members, entry("aa/../../../outside", b"evil")]


# case: members, whether the wanted ones are still read
CASES = {
    "X55 ../x": ([entry("../outside"), *good()], True),
    "X55 ./../x": ([entry("./../outside"), *good()], True),
    "X56 absolute path": ([entry("/tmp/ntkrun-outside"), *good()], True),
    "X57 link, then a file through it": (
        [entry("d", b"", tarfile.SYMTYPE, ".."), entry("d/outside"), *good()],
        True,
    ),
    "X57 wanted name as a link": (
        [entry("a.bin", b"", tarfile.SYMTYPE, "/etc/passwd"), entry("b.bin", b"bb")],
        False,
    ),
    "X58 hard link out": ([entry("a.bin", b"", tarfile.LNKTYPE, "../outside"), entry("b.bin", b"b")], False),
    "X59 chain of long links": ([*chain(), *good()], True),
    "X60 fifo": ([entry("a.bin", b"", tarfile.FIFOTYPE), entry("b.bin", b"b")], False),
    "X60 device": ([entry("a.bin", b"", tarfile.CHRTYPE), entry("b.bin", b"b")], False),
    "X62 twice": ([entry("b.bin", b"b"), entry("b.bin", b"c"), entry("a.bin", bytes(10))], False),
    "X62 too long": ([entry("a.bin", bytes(11)), entry("b.bin", b"b")], False),
}


@pytest.mark.parametrize("case", CASES)
def test_hostile_members(case, tmp_path):
    members, read = CASES[case]
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    path = folder / "a.tar.gz"
    write(path, members)
    if read:
        assert read_members(path, SIZES) == GOOD
    else:
        with pytest.raises(DataError, match="not a single regular file"):
            read_members(path, SIZES)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == [path]
    record("X", case, 1)


def bomb(path, info, size):
    """Make a tar header followed by `size` zeros, compressed to a thousandth."""
    with gzip.open(path, "wb") as file:
        info.size = size
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_bombs_end_at_the_size_that_is_expected(kind, tmp_path):
    path = tmp_path / "bomb.tar.gz"
    info, _ = entry("unknown")
    info.type = kind
    bomb(path, info, 256 << 20)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to more than its members take"):
        read_members(path, SIZES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    record("X61", f"256 MB of zeros in a member of type {kind!r}: given up after 16 MB", 1)


LAUGHS = b"".join(b"]q%c(" % i + b"h%c" % (i - 1) * 10 + b"e" for i in range(1, 30))
PICKLES = {
    "X51 memo bomb": b"\x80\x02K\x01r\xff\xff\xff\x7f.",
    "X51 string that says 2 GB": b"\x80\x04\x8d" + (2 << 30).to_bytes(8, "little") + b"x.",
    "X51 frame that says 2**63": b"\x80\x04\x95" + b"\xff" * 8 + b".",
    "X51 ten thousand nested lists": b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b".",
    "X51 a billion laughs": b"\x80\x02]q\x00"
    + b"".join(b"]q%c(" % i + b"h%c" % (i - 1) * 10 + b"e" for i in range(1, 30))
    + b".",
    "X50 nested loads": pickle.dumps({b"data": 1})[:-1] + b"cpickle\nloads\n(S'x'\ntR.",
}


@pytest.mark.parametrize("case", PICKLES)
def test_hostile_pickles(case):
    tracemalloc.start()
    with pytest.raises(DataError, match="is not a CIFAR batch"):
        read_pickled_arrays(PICKLES[case], "batch")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20, case
    record("X", case, 1)
