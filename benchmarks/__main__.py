"""Run benchmarks and write docs/benchmarks/<name>.md and .png.

python -m benchmarks data_dir=../shared/data               # all, about ten minutes on two cores
python -m benchmarks data_dir=../shared/data speed ridge
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.base import draw, machine_line, markdown
from ntkrun import machine

NAMES = ("speed", "accuracy", "scaling", "exact", "ridge")


def main(words: list[str]) -> int:
    """Run the named benchmarks, or all of them, and return the exit code."""
    options = {"data_dir": ".", "out": "docs/benchmarks"}
    options |= dict(word.split("=", 1) for word in words if "=" in word)
    chosen = [word for word in words if "=" not in word] or list(NAMES)
    if unknown := [name for name in chosen if name not in NAMES]:
        print(f"benchmarks: {', '.join(unknown)} must be one of {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    machine.tune()
    out = Path(options["out"])
    print(about := machine_line(), flush=True)
    for name in chosen:
        result = import_module(f"benchmarks.{name}").run(options["data_dir"])
        text = markdown(result)
        print("\n" + text, flush=True)
        draw(result, out / f"{name}.png")
        command = f"`python -m benchmarks {name}`, {about}"
        (out / f"{name}.md").write_text(text.replace(result.note, f"{result.note}\n\n{command}", 1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
