"""Write the texts of Debian's fortune files as counts of words, with the files as classes.

    apt-get download fortunes fortunes-min
    for f in fortunes*.deb; do dpkg -x "$f" fortunes; done
    python scripts/fortunes.py fortunes fortunes.svm

The data are not part of the repository. `ntkrun dataset=svmlight dataset.path=fortunes.svm
dataset.preprocess=tfidf` learns from them.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

WORD = re.compile(r"[a-z]{2,}")
FEWEST = 50  # texts of a class


def texts(folder: Path) -> dict[str, list[str]]:
    """Return the texts of each fortune file with enough of them, by the file's name."""
    found = {}
    for index in sorted(folder.rglob("*.dat")):
        file = index.with_suffix("")
        parts = re.split(r"^%\n", file.read_text("utf-8", "replace"), flags=re.M)
        kept = list(dict.fromkeys(part.strip().lower() for part in parts if WORD.search(part.lower())))
        if len(kept) >= FEWEST:
            found[file.name] = kept
    return found


def main(folder: str, out: str) -> int:
    """Write the rows, and the words and the classes beside them."""
    classes = texts(Path(folder))
    rows = [(i, Counter(WORD.findall(text))) for i, name in enumerate(classes) for text in classes[name]]
    words = sorted({word for _, counts in rows for word in counts})
    at = {word: i for i, word in enumerate(words, 1)}
    lines = []
    for label, counts in rows:
        pairs = sorted((at[word], count) for word, count in counts.items())
        lines.append(" ".join([str(label), *(f"{i}:{count}" for i, count in pairs)]))
    Path(out).write_text("\n".join(lines) + "\n")
    Path(f"{out}.words").write_text("\n".join(words) + "\n")
    Path(f"{out}.classes").write_text("\n".join(classes) + "\n")
    entries = sum(len(counts) for _, counts in rows)
    sys.stdout.write(f"{len(rows)} texts, {len(words)} words, {len(classes)} classes, {entries} non-zeros\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
