"""Test how a sweep's jobs are counted, called and announced."""

import json
import logging
import time

import pytest
from omegaconf import OmegaConf

from ntkrun import progress
from ntkrun.cli import jobs
from ntkrun.cli.summary import best_of
from ntkrun.log import to_terminal
from ntkrun.progress import faster
from ntkrun.store import sweep_folder


def plan(*task, **sweeper):
    return jobs.planned(OmegaConf.create({"hydra": {"overrides": {"task": list(task)}, "sweeper": sweeper}}))


def test_jobs_are_counted_before_they_start():
    assert plan("a=1,2", "b=range(0,5)", "c=3") == {"planned": 10, "varies": ["a", "b"]}
    assert plan("c=3", params={"d": "choice(x,y,z)"}) == {"planned": 3, "varies": ["d"]}
    assert plan("e=interval(0,1)") == {"planned": None, "varies": ["e"]}
    assert plan("e=interval(0,1)", n_trials=7)["planned"] == 7


def test_a_job_is_called_by_what_varies():
    assert jobs.title(["+a=1", "b=2"], ["a"]) == "+a=1"
    assert jobs.title(["a=1", "b=2"], []) == "a=1, b=2"


def test_the_time_left_follows_from_the_jobs_done(tmp_path):
    (tmp_path / "jobs").mkdir()
    record = {"planned": 4, "status": "RUNNING", "started": time.time() - 100}
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    assert jobs.heading(tmp_path, 0, "a=1") == "job 0 (1 of 4)    a=1"
    (tmp_path / "jobs/00000.json").write_text("{}")
    assert jobs.heading(tmp_path, 1, "a=2") == "job 1 (2 of 4)    a=2   about 5.0 min left"


def done(number, valid, **more):
    return {"number": number, "valid": valid, "metric": "mse", "title": f"a={number}", **more}


def test_the_best_job_is_chosen_on_held_out_rows():
    outcomes = [done(0, 0.5, value=0.1), done(1, 0.25, value=0.9), {"number": 2, "status": "failed"}]
    assert best_of(outcomes, None, ["a"]) == "best          job 1: mse 0.2500 on held-out rows   a=1"
    assert best_of(outcomes, None, ["dataset.fold"]) is None  # other rows
    assert best_of(outcomes[:1], None, ["a"]) is None
    assert best_of([*outcomes, done(3, 0.9, metric="accuracy")], None, ["a"]) is None


def test_a_sweep_repeats_no_warning(capsys):
    to_terminal()
    to_terminal(once=True)
    for load in (1.2, 1.3):
        logging.getLogger("ntkrun.x").warning("load of %s cores", load)
        logging.getLogger("ntkrun.x").info("score")
    assert capsys.readouterr().err.splitlines() == ["load of 1.2 cores", "score", "score"]
    to_terminal()
    logging.getLogger("ntkrun.x").warning("load of 1.2 cores")
    assert "load" in capsys.readouterr().err


def test_processes_of_a_sweep_share_what_was_said(capsys, tmp_path):
    (tmp_path / "jobs").mkdir()
    for _ in range(2):
        to_terminal()  # forgets, as another process knows nothing
        to_terminal(once=True, shared=tmp_path / "jobs")
        logging.getLogger("ntkrun.x").warning("careful")
    assert capsys.readouterr().err == "careful\n"
    to_terminal()
    to_terminal(once=True, shared=tmp_path / "absent")
    logging.getLogger("ntkrun.x").warning("careful")
    assert capsys.readouterr().err == "careful\n"
    sweep_folder.finish(tmp_path)
    assert not list((tmp_path / "jobs").iterdir())
    to_terminal()


@pytest.mark.parametrize(
    ("value", "said"), [(151.2, "150 x faster"), (1.0, "1 x faster"), (0.29, "3.4 x slower")]
)
def test_slower_is_said_as_such(value, said):
    assert faster(value) == said


def test_a_silent_stretch_says_what_it_does(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", 0.2)
    to_terminal()
    with progress.saying("quick"):
        pass
    with progress.saying("outer"):
        with progress.saying("inner"):
            time.sleep(0.5)
        logging.getLogger("ntkrun.x").info("a line")
    with progress.saying("loading", always=False):  # no terminal
        time.sleep(0.4)
    assert capsys.readouterr().err.splitlines() == ["inner", "a line"]
    with progress.progress("featurize ", 1000, "rows") as advance:
        time.sleep(0.4)
        advance(1000)
    assert capsys.readouterr().err == "featurize  1,000 rows\n"
