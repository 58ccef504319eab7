"""The command line: Hydra inside, one-line errors and exit codes outside.

Nothing heavy is imported before a run starts: --help, TAB and --cfg must answer at once.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from ntkrun import __version__
from ntkrun.errors import ConfigError, NtkrunError

log = logging.getLogger(__name__)

# Hydra's options that take a value, which must stay beside them when options move to the front
VALUED = {
    "--cfg",
    "-c",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--config-dir",
    "-cd",
    "--package",
    "-p",
}
VALUED |= {"--shell-completion", "-sc"}
SWEEP_FAILED = 7


def conf_dir() -> Path:
    """Return the folder of the yaml files: inside an installed package, else at the top of the checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


def help_text() -> str:
    """Return what --help prints; groups and keys are read off the yaml files."""
    conf = conf_dir()
    groups = []
    for group in ("dataset", "method", "solver", "experiment"):
        names = sorted(p.stem for p in (conf / group).glob("*.yaml"))
        groups.append(f"  {group + '=':<13}{' | '.join(names)}")
    keys = [
        "  " + line.rstrip()
        for line in (conf / "config.yaml").read_text().splitlines()
        if line and not line.startswith((" ", "defaults", "hydra", "#", "tracking"))
    ]
    return HELP.format(groups="\n".join(groups), keys="\n".join(keys))


HELP = """ntkrun: neural-tangent-kernel learning at the cost of a linear model

usage: ntkrun [key=value ...] [-m] [options]

  ntkrun                                              digits, cntk_sketch, exact kernel: a minute
  ntkrun dataset=cifar10 dataset.n_train=5000 feature_dim=4096
  ntkrun dataset=npz dataset.path=mine.npz            your arrays: x_train y_train x_test y_test
  ntkrun -m feature_dim=512,1024 seed=0,1             sweep: one run for each combination
  ntkrun method=exact_cntk baseline=none              the exact kernel itself
  ntkrun experiment=theorem_2                         what a theorem promises, measured
  make ui                                             compare runs in the browser

groups (a yaml file each in conf/; its keys are set as group.key=value):
{groups}

keys:
{keys}
  tracking.uri: null          # MLflow store; null is sqlite:///<output_dir>/mlflow.db

options:
  -m, --multirun     sweep over comma-separated values, range(0,5), choice(a,b)
  --cfg job          print the composed configuration and stop
  --traceback        show where an error came from
  --version          print the version
  --hydra-help       Hydra's own options

TAB completion: eval "$(ntkrun -sc install=bash)"
exit codes: 0 ok, 2 configuration, 3 data, 4 integrity, 5 machine, 6 network,
            7 some jobs of a sweep failed, 130 Ctrl-C
"""


def reorder(arguments: list[str]) -> list[str]:
    """Move options before overrides, which Hydra 1.3 demands, and accept +experiment=x."""
    options, overrides = [], []
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if word.startswith("-"):
            options.append(word)
            if word in VALUED and queue:
                options.append(queue.pop(0))
        else:
            overrides.append(word.removeprefix("+") if word.startswith("+experiment=") else word)
    return options + overrides


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    words = reorder(sys.argv[1:] if arguments is None else arguments)
    if "--version" in words:
        sys.stdout.write(f"ntkrun {__version__}\n")
        return 0
    if "--help" in words or "-h" in words:
        sys.stdout.write(help_text())
        return 0
    show = "--traceback" in words
    words = [w for w in words if w != "--traceback"]
    _start_logging()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us; we print them
    try:
        return _hydra(words)
    except KeyboardInterrupt:
        return _say("interrupted. Finished shards are kept; run the same command again to go on.", 130, show)
    except NtkrunError as error:
        return _say(str(error), error.exit_code, show)
    except SystemExit as stop:  # argparse has already said why
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("hydra", "omegaconf"):
            return _say(_hydra_message(error), ConfigError.exit_code, show)
        if isinstance(error, MemoryError) or "not enough memory" in str(error):
            return _say("out of memory. Lower feature_dim, shard_rows or dataset.n_train.", 5, show)
        if isinstance(error, OSError):
            return _say(f"{error.filename or 'a file'}: {error.strerror or error}.", 5, show)
        raise


def _hydra(words: list[str]) -> int:
    import hydra

    failed: list[str] = []
    raised: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    def job(config: Any) -> None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        title = ", ".join(HydraConfig.get().overrides.task)
        if sweep:
            log.info("\njob %s    %s", HydraConfig.get().job.num, title)
        try:
            _job(config)
        except Exception as error:
            if not sweep:
                raised.append(error)  # raised below: Hydra would print lines of its own
                return
            # one bad job does not stop the others
            text = str(error) if isinstance(error, NtkrunError) else f"{type(error).__name__}: {error}"
            log.error("job failed: %s", text)
            log.debug("job failed", exc_info=True)
            failed.append(title)

    sys.argv = ["ntkrun", *words]
    job()
    if raised:
        raise raised[0]
    if failed:
        log.error("%d jobs failed: %s", len(failed), "; ".join(failed))
        return SWEEP_FAILED
    return 0


def _job(config: Any) -> None:
    from omegaconf import OmegaConf

    record = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(record, dict)

    from ntkrun import machine
    from ntkrun.config import build

    machine.tune_allocator()
    checked = build({str(k): v for k, v in record.items()})

    from ntkrun import pipeline

    result = pipeline.run(checked)
    sys.stdout.write(summary(result, str(checked.output_dir), checked.tracking_uri))
    sys.stdout.flush()


def summary(result: dict[str, Any], output_dir: str, uri: str) -> str:
    """Return the lines that end a run."""
    metric = next((m for m in ("accuracy", "mse") if f"test/{m}" in result), "")
    lines = [("study", f"{result['method']} in {result['time/wall_s']:.0f} s")]
    if metric:
        lines = [("test " + metric, f"{result['test/' + metric]:.4f}")]
        lines.append(("time", f"{result['time/total_s']:.2f} s   featurize + solve + predict"))
    if f"exact/{metric}" in result:
        lines[0] = (lines[0][0], f"{lines[0][1]}   (exact kernel: {result['exact/' + metric]:.4f})")
    if "speedup" in result:
        from ntkrun.stages.baseline import human

        exact = human(result["exact/time_s"])
        lines.append(
            (
                "speed-up",
                f"{result['speedup']:.3g} x   over the exact kernel, {exact} {result['exact/time_kind']}",
            )
        )
    lines.append(("memory", f"{result['memory/peak_rss_mb']:.0f} MiB   peak resident"))
    lines.append(("report", result["run_folder"]))
    if result["mlflow/run_id"]:
        lines.append(("MLflow", f"run {result['mlflow/run_id']} in {uri}"))
        if uri.startswith("sqlite:"):
            lines.append(("compare", f"make ui   (or: mlflow ui --host 127.0.0.1 --backend-store-uri {uri})"))
    return "\n" + "\n".join(f"{name:<14}{text}" for name, text in lines) + "\n"


def _start_logging() -> None:
    logger = logging.getLogger("ntkrun")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.handlers.clear()  # a second call in one process may have another stderr
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO)
    logger.addHandler(handler)


def _hydra_message(error: Exception) -> str:
    """Return the first telling line of a Hydra or OmegaConf error, with the nearest valid name."""
    import difflib
    import re

    text = " ".join(str(error).split())
    missing = re.search(r"Could not (?:find|load) '?(\w+)/([^' ]+)'?", text)
    if missing:
        group, name = missing.groups()
        names = sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean {group}={near[0]}?" if near else ""
        return f"{group} of ntkrun must be one of {', '.join(names)}. Got {name!r} instead.{hint}"
    key = re.search(r"(?:Could not override '([^']+)'|Key '([^']+)' is not in struct)", text)
    if key:
        name = key.group(1) or key.group(2)
        return f"{name!r} is not a key of the configuration. All keys: ntkrun --cfg job."
    return text[:400]


def _say(message: str, code: int, show: bool) -> int:
    if show:
        import traceback

        traceback.print_exc()
    sys.stderr.write(f"ntkrun: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
