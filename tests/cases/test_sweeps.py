"""Sweeps that cannot start, and Hydra's own idioms."""

import json

import pytest

from ntkrun.cli import sweep as start
from ntkrun.errors import MachineError
from ntkrun.store import sweep_folder as sweep
from tests.cases.base import TABLE, Case, rows

MEMORY = "tracking.uri=sqlite:///:memory: "
ROWS = "-m " + TABLE + MEMORY + "dataset.path=ok.csv "
SKIPPING = ROWS + "seed=0,1 skip_finished=true"


def table(stage):
    stage.copy("ok.csv")


def nothing_left(stage):
    assert {p.name for p in stage.here.iterdir()} <= {"ok.csv"}


def sweep_folder(stage, root="outputs/sweeps"):
    (folder,) = (stage.here / root).iterdir()
    return folder


def a_file_for_a_folder(stage):
    table(stage)
    stage.outputs.write_text("a file\n")


def full_disk(stage):
    table(stage)

    def fail(path, document):
        raise MachineError(f"{path} could not be written: No space left on device.")

    stage.monkeypatch.setattr(start, "write_json", fail)


def disk_full_at_the_second_job(stage):
    table(stage)
    write = sweep.write_json

    def fail(path, document):
        if path.name == "00001.json":
            raise MachineError(f"{path} could not be written: No space left on device.")
        write(path, document)

    stage.monkeypatch.setattr(sweep, "write_json", fail)


def an_earlier_sweep(content):
    def make(stage):
        table(stage)
        folder = stage.outputs / "sweeps" / "2026-01-01_00-00-00-000000"
        folder.mkdir(parents=True)
        (folder / "sweep.json").write_text(content)

    return make


def own_experiment(stage):
    table(stage)
    folder = stage.here / "mine" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 0,1\n"
    (folder / "two_seeds.yaml").write_text(text)


def all_in_one_folder(stage):
    """The data were found, and everything is in the folder where the program was started."""
    assert {p.name for p in stage.outputs.iterdir()} >= {"runs", "features", "sweeps"}
    assert not list(stage.outputs.glob("sweeps/*/**/outputs"))


def jobs_are_beside_sweep_json(stage, root="outputs/sweeps"):
    folder = sweep_folder(stage, root)
    assert [job["status"] for job in sweep.outcomes(folder)] == ["ok", "ok"]
    assert json.loads((folder / "sweep.json").read_text())["ok"] == 2


def killed_before(stage):
    """A sweep of the words of the case that did not come to its end."""
    table(stage)
    stage.ntkrun(SKIPPING)
    path = sweep_folder(stage) / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "KILLED", "key": "of the first"}))


def goes_on(stage):
    records = [json.loads(p.read_text()) for p in sorted(stage.outputs.glob("sweeps/*/sweep.json"))]
    assert [record["status"] for record in records] == ["CONTINUED", "FINISHED"]
    assert records[1]["key"] == "of the first"


def times_are_alike(stage):
    first, second = (job["seconds"] for job in sweep.outcomes(sweep_folder(stage)))
    walls = [result["time/wall_s"] for result in stage.results()]
    assert sorted([first, second]) == sorted(walls)


def a_folder_per_job(stage):
    assert {p.name for p in sweep_folder(stage).iterdir()} >= {"0", "1", "jobs", "report.html"}


def only_todays_jobs(stage):
    folder = stage.here / "mine"
    assert len(sweep.outcomes(folder)) == 1
    assert json.loads((folder / "sweep.json").read_text())["ok"] == 1


CASES = [
    Case(
        "16.6",
        "a folder per job: `-m hydra.sweep.subdir='${hydra.job.num}'`",
        "Hydra makes the folders; the sweep ends in its table",
        ROWS + "seed=0,1 'hydra.sweep.subdir=${hydra.job.num}'",
        before=table,
        says=["2 jobs: 2 ok"],
        check=a_folder_per_job,
    ),
    Case(
        "16.6",
        "a folder per job named after its words: `hydra.sweep.subdir='${hydra.job.override_dirname}'`",
        "the same",
        ROWS + "seed=0,1 hydra.job.config.override_dirname.exclude_keys=[dataset,dataset.path,tracking.uri] "
        "'hydra.sweep.subdir=${hydra.job.override_dirname}'",
        before=table,
        says=["2 jobs: 2 ok"],
    ),
    Case(
        "16.6",
        "`hydra.sweep.dir` that differs from job to job",
        "refused in one line that names `hydra.sweep.subdir`; nothing is left",
        ROWS + "seed=0,1 'hydra.sweep.dir=sw/${hydra.job.num}'",
        before=table,
        code=2,
        says=["hydra.sweep.dir of ntkrun must be one folder for all jobs", "hydra.sweep.subdir"],
        check=nothing_left,
    ),
    Case(
        "16.6",
        "`hydra.sweep.dir` with a swept key in it",
        "all jobs share the first folder, and the table shows them all",
        ROWS + "seed=0,1 'hydra.sweep.dir=sw/${seed}'",
        before=table,
        says=["2 jobs: 2 ok"],
        check=lambda stage: jobs_are_beside_sweep_json(stage, "sw"),
    ),
    Case(
        "16.6",
        "`output_dir=a,b` is swept itself",
        "the runs lie in a and b, the sweep with its table in the usual folder",
        ROWS + "output_dir=a,b",
        before=table,
        says=["2 jobs: 2 ok"],
        check=jobs_are_beside_sweep_json,
    ),
    Case(
        "16.6",
        "a sweep into the folder of an earlier one: `hydra.sweep.dir=mine` twice",
        "the table shows the jobs of today only",
        [ROWS + "seed=0,1 hydra.sweep.dir=mine", ROWS + "seed=0 hydra.sweep.dir=mine"],
        before=table,
        says=["1 jobs: 1 ok"],
        check=only_todays_jobs,
    ),
    Case(
        "16.6",
        "`hydra.job.chdir=true` in a sweep with relative paths",
        "relative paths begin in the folder where the program was started",
        ROWS + "seed=0,1 hydra.job.chdir=true",
        before=table,
        says=["2 jobs: 2 ok"],
        check=all_in_one_folder,
    ),
    Case(
        "16.6",
        "`hydra.job.chdir=true` in a single run with relative paths",
        "relative paths begin in the folder where the program was started, the store's as well",
        TABLE
        + "dataset.path=ok.csv tracking.uri=sqlite:///my.db hydra.job.chdir=true hydra.run.dir=elsewhere",
        before=table,
        number=0.0123,
        check=lambda stage: (stage.here / "my.db").stat(),
    ),
    Case(
        "16.6",
        "the output folder of a sweep is a file",
        "one line, exit code 5, nothing is left",
        ROWS + "seed=0,1",
        before=a_file_for_a_folder,
        code=5,
        says=["could not be made: Not a directory. Choose another output_dir."],
        never=["Callback", "job 0"],
    ),
    Case(
        "16.6",
        "`hydra.sweep.dir` cannot be made",
        "one line that names the key, exit code 5, nothing is left",
        ROWS + "seed=0,1 hydra.sweep.dir=/proc/sweep",
        before=table,
        code=5,
        says=["could not be made", "Choose another hydra.sweep.dir."],
        never=["Callback", "job 0"],
        check=nothing_left,
    ),
    Case(
        "16.6",
        "the disk is full when a sweep starts",
        "one line, exit code 5, nothing is left",
        ROWS + "seed=0,1",
        before=full_disk,
        code=5,
        says=["No space left on device"],
        never=["Callback", "job 0"],
        check=nothing_left,
    ),
    Case(
        "16.6",
        "the disk is full when a sweep has done some of its jobs",
        "the table shows the jobs that are done; one line, exit code 5",
        ROWS + "seed=0,1",
        before=disk_full_at_the_second_job,
        code=5,
        says=["1 jobs: 1 ok", "No space left on device"],
    ),
    Case(
        "16.6",
        "`skip_finished=true` beside the damaged record of an earlier sweep",
        "the damaged file is named, and the sweep runs",
        ROWS + "seed=0,1 skip_finished=true",
        before=an_earlier_sweep("{torn"),
        says=["sweep.json cannot be read as JSON", "2 jobs: "],
    ),
    Case(
        "16.6",
        "the command of a killed sweep is given again with `skip_finished=true`",
        "it goes on under the same MLflow run",
        SKIPPING,
        before=killed_before,
        says=["2 jobs: "],
        check=goes_on,
    ),
    Case(
        "16",
        "equal jobs of a sweep",
        "the times in the table are the runs' own: the first one does not pay for loading libraries",
        ROWS + "seed=0,1",
        before=table,
        says=["2 jobs: 2 ok"],
        check=times_are_alike,
    ),
    Case(
        "16.6",
        "a sweep over an empty range",
        "one line, exit code 2, nothing is left",
        ROWS + "'seed=range(0,0)'",
        before=table,
        code=2,
        says=["a sweep of ntkrun must have jobs"],
        check=nothing_left,
    ),
    Case(
        "16.6",
        "a sweep over a name that does not exist",
        "one line, exit code 2, nothing is left",
        ROWS + "method=raw,typo",
        before=table,
        code=2,
        says=["Got 'typo' instead."],
        check=nothing_left,
    ),
    Case(
        "16.6",
        "Hydra's batches of no jobs: `hydra.sweeper.max_batch_size=0`",
        "one line, exit code 2, nothing is left",
        ROWS + "seed=0,1 hydra.sweeper.max_batch_size=0",
        before=table,
        code=2,
        says=["hydra.sweeper.max_batch_size of ntkrun must be an integer >= 1"],
        check=nothing_left,
    ),
    Case(
        "16.6",
        "a launcher that cannot work: joblib with no processes",
        "one line, exit code 7, nothing is left",
        ROWS + "seed=0,1 hydra/launcher=joblib hydra.launcher.n_jobs=0",
        before=table,
        code=7,
        says=["ntkrun: the sweep has ended early: ValueError: n_jobs == 0"],
        check=nothing_left,
    ),
    Case(
        "16.6",
        "experiments of one's own that sweep: `--config-dir mine experiment=two_seeds`",
        "they sweep, also without -m",
        "--config-dir mine experiment=two_seeds " + ROWS.removeprefix("-m "),
        before=own_experiment,
        says=["2 jobs: 2 ok"],
    ),
    Case(
        "16.6",
        "Hydra's own logging: `hydra/job_logging=default hydra.verbose=ntkrun`",
        "it works beside ntkrun's",
        ROWS + "seed=0 hydra/job_logging=stdout hydra.verbose=ntkrun",
        before=table,
        says=["1 jobs: 1 ok"],
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
