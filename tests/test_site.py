"""Check the documentation site: messages, drawings, citation, parameters of the API page, links, build."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import ntkrun
from ntkrun.cli import main as cli
from scripts import drawings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
SECTION = re.compile(r"^ +Parameters\n +-+\n(.*?)(?=^ +\w+\n +-{3,}\n|\Z)", re.S | re.M)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Make the files that the messages of docs/faq.md are about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NTKRUN_OUTPUT_DIR", raising=False)
    np.savetxt("numbers.csv", np.arange(400).reshape(100, 4), delimiter=",", fmt="%d")
    for name in "ab":
        (tmp_path / "mixed" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (8 + i, 8)).save(tmp_path / "mixed" / name / f"{i}.png")
    y = {"y_train": np.arange(20) % 2, "y_test": np.arange(10) % 2}
    np.savez("first.npz", x_train=np.ones((20, 3, 8, 8)), x_test=np.ones((10, 3, 8, 8)), **y)
    np.savez("nan.npz", x_train=np.full((20, 8), np.nan), x_test=np.ones((10, 8)), **y)
    return tmp_path


def test_the_messages_of_the_faq_are_those_of_the_program(files, capsys):
    found = re.findall(r"```console\n\$ ntkrun (.*)\n(ntkrun: .*)\n```", (DOCS / "faq.md").read_text())
    assert len(found) >= 9
    for words, message in found:
        assert cli.main(words.split()) > 0
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.replace(str(files), "...") == message, words


def test_every_key_of_a_result_is_on_its_page(tmp_path):
    words = ["method=raw", "baseline=none", "dataset.n_train=300", f"output_dir={tmp_path}"]
    assert cli.main(words) == 0
    (path,) = tmp_path.glob("runs/*/result.json")
    text = (DOCS / "result.md").read_text() + (DOCS / "confidence.md").read_text()
    keys = [key for key in yaml.safe_load(path.read_text()) if not key.startswith("valid/")]
    assert [key for key in keys if f"`{key}`" not in text] == []
    folder = {item.name.rstrip("/") for item in path.parent.iterdir()}
    assert [name for name in folder if name not in text] == []


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_the_drawings_are_those_of_the_script(name):
    text = (DOCS / "pictures" / name).read_text()
    assert text == drawings.DRAWINGS[name]()
    headings = re.findall("^## (.*)$", (DOCS / "choosing.md").read_text(), re.M)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall('href="#(.*?)"', text)) <= anchors


def test_the_citation_is_that_of_this_version():
    record = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert record["cff-version"] == "1.2.0"
    assert record["version"] == ntkrun.__version__
    assert record["license"] == "Apache-2.0"
    (paper,) = record["references"]
    assert [a["family-names"] for a in paper["authors"]] == [
        "Zandieh",
        "Han",
        "Avron",
        "Shoham",
        "Kim",
        "Shin",
    ]


def documented(text):
    """Return the names in the section Parameters of a docstring."""
    section = SECTION.search(text or "")
    lines = section[1].splitlines() if section else []
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    heads = [line.strip() for line in lines if line[indent : indent + 1].strip()]
    return [name.strip() for head in heads for name in head.split(" : ")[0].split(",")]


@pytest.mark.parametrize("place", re.findall(r"autoclass:: (\S+?)(?:\(\))?\n", (DOCS / "api.md").read_text()))
def test_the_parameters_on_the_api_page_are_those_of_the_class(place):
    module, _, name = place.rpartition(".")
    cls = getattr(import_module(module), name)
    own = documented(cls.__doc__)
    inherited = [known for base in cls.__mro__[1:] for known in documented(base.__doc__)]
    real = list(inspect.signature(cls).parameters)
    assert [known for known in own if known not in real] == [], "described, but no parameter"
    if own:
        assert [known for known in real if known not in own + inherited] == [], "a parameter, not described"


def test_every_public_name_is_on_the_api_page():
    text = (DOCS / "api.md").read_text()
    assert [name for name in ntkrun.__all__ if not re.search(rf"auto\w+:: ntkrun\.{name}\n", text)] == []


def test_every_page_is_in_the_navigation():
    listed = set()
    for page in PAGES:
        folder = Path(page).parent
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.S):
            lines = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(folder / re.sub(r".*<(.*)>$", r"\1", line)).as_posix() for line in lines}
    assert listed == set(PAGES) - {"index"}


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("gallery/")])
def test_a_page_of_the_gallery_is_short(page):
    code = re.findall(r"```\{code-cell\}\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.S)
    assert sum(cell.count("\n") for cell in code) <= 40


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path):
    words = ["-q", "-W", "-E", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        html = (tmp_path / f"{page}.html").read_text()
        loaded = re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(https?://[^"]*)"', html)
        assert loaded == [], page
        assert "/tmp/tmp" not in html, page
        for target in re.findall(r'href="([^"#:?]+)(?:[#?][^"]*)?"', html):
            assert ((tmp_path / page).parent / target).exists(), (page, target)
    theory = (tmp_path / "theory.html").read_text()
    assert "source/ntkrun/maths/method/ntk_sketch.py.html" in theory
    assert "<math" in theory
    assert "12 jobs: 12 ok" in (tmp_path / "gallery" / "sweep.html").read_text()
