"""Drive headless Chromium on the report of a sweep of 48 runs, which are a real run with other numbers."""

import itertools
import json
import shutil

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.store import predictions
from scripts import browser
from tests.test_before import BEFORE, RUNS

pytestmark = pytest.mark.skipif(not browser.installed(), reason=browser.MISSING)
DIMS = (64, 128, 256, 512)


def changed(file, **keys):
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, **keys}))
    return document


def runs(root):
    """Write 2 methods x 4 sizes x 2 numbers of rows x 3 seeds; larger ones are better, slower, surer."""
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 10).astype(np.uint16)
    combinations = itertools.product(("ntk_sketch", "rff"), DIMS, (300, 1000), range(3))
    for number, (method, dim, n, seed) in enumerate(combinations):
        folder = shutil.copytree(BEFORE / "runs" / RUNS[0], root / "runs" / f"2026-11-26_digits-{number:04d}")
        shutil.rmtree(folder / "model")
        share = 0.75 + 0.02 * np.log2(dim) + 0.02 * (n == 1000) - 0.05 * (method == "rff")
        wrong = rng.random(400) > share
        found = np.where(wrong, (labels + 1) % 10, labels).astype(np.uint16)
        kept = predictions.Predictions(found, labels, [str(i) for i in range(10)], "x")
        predictions.write(folder, kept)
        section = {"name": method, "n_components": dim, "random_state": seed}
        rows = {**json.loads((folder / "config.json").read_text())["dataset"], "n_train": n}
        changed(folder / "config.json", method=section, feature_dim=dim, seed=seed, dataset=rows)
        score = {"test/accuracy": 1 - wrong.mean(), "valid/accuracy": share + 0.01 * rng.random()}
        times = {f"time/{phase}_s": dim * n / 1e6 for phase in ("featurize", "solve", "predict")}
        total = {"time/total_s": sum(times.values()), "exact/accuracy": 0.92 + n / 2e4, "exact/time_s": 9.0}
        sizes = {"method": method, "feature_dim": dim, "n_train": n, "n_test": 400}
        changed(folder / "result.json", **score, **times, **total, **sizes, **{"exact/time_kind": "measured"})
        yield folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    sweep = root / "sweeps" / "2026-11-26_08-00-00"
    (sweep / "jobs").mkdir(parents=True)
    (sweep / "sweep.json").write_text("{}")
    for number, folder in enumerate(runs(root)):
        job = {"number": number, "status": "ok", "run_folder": str(folder)}
        (sweep / "jobs" / f"{number:05d}.json").write_text(json.dumps(job))
    assert cli.main(["report", str(sweep)]) == 0
    return sweep / "report.html"


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser() as opened:
        yield opened


VISIBLE = """return [...document.querySelectorAll("table.lines tbody")]
    .filter((body) => body.checkVisibility()).map((body) => body.rows[0].cells[arguments[0]].textContent)"""
MARKS = """return document.querySelectorAll(
    "figure[data-chart=dim] .mark-symbol.role-mark path[aria-roledescription=point]").length"""


def press(chromium, title):
    chromium.run(
        """[...document.querySelectorAll("th button")].find((b) => b.textContent === arguments[0]).click()""",
        title,
    )


def test_the_page_is_small_and_asks_for_nothing(page, chromium):
    assert page.stat().st_size < 2_000_000
    chromium.open(page)
    assert {url.split(":")[0] for url in chromium.requests()} <= {"file", "data", "about"}
    assert [line for line in chromium.console() if "WARN" not in line] == []
    assert chromium.run("return document.querySelectorAll('tbody.best').length") == 1
    assert chromium.run("return document.querySelectorAll('table.lines tbody').length") == 18


def test_the_table_sorts(page, chromium):
    chromium.open(page)
    press(chromium, "test accuracy")
    scores = [float(text.split()[0]) for text in chromium.run(VISIBLE, 4)]
    assert scores == sorted(scores)
    assert len(scores) == 18
    press(chromium, "test accuracy")
    assert [float(text.split()[0]) for text in chromium.run(VISIBLE, 4)] == scores[::-1]
    press(chromium, "columns")
    columns = chromium.run(VISIBLE, 1)
    assert columns == ["64"] * 4 + ["128"] * 4 + ["256"] * 4 + ["512"] * 4 + ["-"] * 2
    press(chromium, "method")
    assert chromium.run(VISIBLE, 0)[0].startswith("exact kernel of ntk_sketch, rff")


def test_the_table_filters_and_the_charts_follow(page, chromium):
    chromium.open(page)
    assert chromium.run(MARKS) == 17  # 16 and the ring
    enter = """const field = document.querySelector(arguments[0]); field.value = arguments[1];
        field.dispatchEvent(new Event(arguments[2], {bubbles: true}))"""
    chromium.run(enter, ".filter", "rff 128", "input")
    assert chromium.run(VISIBLE, 1) == ["128", "128"]
    assert chromium.run("return document.querySelector('output').textContent") == "2 of 18 rows"
    chromium.wait(MARKS.replace("length", "length === 2"))
    chromium.run(enter, ".filter", "", "input")
    chromium.run(enter, "select[aria-label=columns]", "256", "change")
    assert chromium.run(VISIBLE, 1) == ["256"] * 4
    chromium.wait(MARKS.replace("length", "length === 4"))


def test_rows_unfold_to_runs_with_details(page, chromium):
    chromium.open(page)
    seeds = (
        """return [...document.querySelectorAll("tr.seed")].filter((row) => row.checkVisibility()).length"""
    )
    assert chromium.run(seeds) == 0
    chromium.run("document.querySelector('.open-it').click()")
    assert chromium.run(seeds) == 3
    chromium.run("document.querySelector('.all').click()")
    assert chromium.run(seeds) == 48
    chromium.run("document.querySelector('tr.seed a.more').click()")
    chromium.wait("return document.querySelector('details.run[open] .path svg')")
    text = chromium.run("return document.querySelector('details.run[open]').innerText")
    for words in ("ntkrun rerun ", "relative lambda", "peak memory", "featurize", "true class down"):
        assert words in text
    folder = chromium.run("return document.querySelector('details.run[open] a').href")
    assert folder.endswith("/runs/2026-11-26_digits-0000/") or "/runs/2026-11-26_digits-" in folder
    assert "/sweeps/" not in folder


def test_a_mark_tells_its_values(page, chromium):
    chromium.open(page)
    chromium.run("document.querySelector('figure[data-chart=time]').scrollIntoView({block: 'center'})")
    x, y = chromium.run(
        """const box = document.querySelector("figure[data-chart=time] path[aria-roledescription=point]")
            .getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]"""
    )
    chromium.move(x - 1, y)
    chromium.move(x, y)
    chromium.wait("return document.querySelector('#vg-tooltip-element.visible')")
    text = chromium.run("return document.querySelector('#vg-tooltip-element').innerText")
    for words in ("configuration", "columns", "95 % interval", "held-out", "time", "runs"):
        assert words in text


def test_charts_show_held_out_scores_on_demand(page, chromium):
    chromium.open(page)
    points = "figure[data-chart=time] path[aria-roledescription=point]"
    places = f"""return [...document.querySelectorAll("{points}")].map((p) => p.getAttribute("transform"))"""
    before = chromium.run(places)
    chromium.run("document.querySelector('input[type=radio][value=valid]').click()")
    assert "held-out accuracy" in chromium.run("return document.querySelector('figcaption').textContent")
    chromium.wait(places + f".length === {len(before) - 2}")  # baselines have no held-out score
    assert set(chromium.run(places)) != set(before)


def test_colours_follow_the_system(page, chromium):
    shades = """const rgb = (c) => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0);
        const text = document.querySelector("figure svg .role-axis-title text");
        return [rgb(getComputedStyle(document.body).backgroundColor), rgb(getComputedStyle(text).fill)]"""
    chromium.open(page, dark=True)
    paper, ink = chromium.run(shades)
    assert paper < 150 < 600 < ink
    chromium.open(page)
    paper, ink = chromium.run(shades)
    assert ink < 150 < 600 < paper


def test_a_telephone_needs_no_sideways_scrolling(page, chromium):
    chromium.open(page, width=390, height=800)
    chromium.run("for (const run of document.querySelectorAll('details')) run.open = true")
    chromium.wait("return document.querySelectorAll('.path svg').length === 48")
    assert chromium.run("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    inside, room = chromium.run(
        """const table = document.querySelector("table.lines");
        return [table.scrollWidth, table.parentElement.clientWidth]"""
    )
    assert inside <= room


def test_the_page_is_read_without_scripts(page):
    with browser.Browser(scripts=False) as plain:
        plain.open(page)
        assert not plain.run("return document.documentElement.classList.contains('js')")
        hidden = """return [...document.querySelectorAll("tr, figure img, figcaption, .part > details")]
            .filter((one) => !one.closest("details") || one.matches("details"))
            .filter((one) => !one.checkVisibility()).length"""
        assert plain.run(hidden) == 0
        assert plain.run("return document.querySelectorAll('tr.seed').length") == 48
        plain.wait("return [...document.images].every((one) => one.complete && one.naturalWidth > 300)")
        assert plain.run("return document.images.length") >= 4
        shown = (
            """return [...document.querySelectorAll(".live")].filter((one) => one.checkVisibility()).length"""
        )
        assert plain.run(shown) == 0
