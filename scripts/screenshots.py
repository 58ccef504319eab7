"""Take the screenshots of the documentation, after `make docs`.

    python -m scripts.screenshots outputs/docs docs/screenshots

It needs chromium and chromedriver, and prints every page that scrolls sideways.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.browser import Browser, small

# name of the picture: page, width and height of what is kept, dark colours
SHOTS = {
    "site_landing_1440": ("index", 1440, 1400, False),
    "site_landing_390": ("index", 390, 1800, False),
    "site_landing_dark": ("index", 1440, 1400, True),
    "site_choosing_1440": ("choosing", 1440, 1500, False),
    "site_theory_1440": ("theory", 1440, 1200, False),
    "site_api_1440": ("api", 1440, 1500, False),
    "site_math_1440": ("math", 1440, 1500, False),
    "site_gallery_1440": ("gallery/sweep", 1440, 1700, False),
    "x_first": ("gallery/first_run", 1440, 2400, False),
    "x_images": ("gallery/own_images", 1440, 2400, False),
    "x_table": ("gallery/own_table", 1440, 2600, False),
}
WIDER = "return document.documentElement.scrollWidth > window.innerWidth"


def main(words: list[str]) -> int:
    """Take the pictures and return the exit code."""
    if len(words) not in (2, 3):
        print("Type: python -m scripts.screenshots outputs/docs docs/screenshots [NAME]", file=sys.stderr)
        return 2
    pages, out, only = Path(words[0]), Path(words[1]), words[2:]
    with Browser() as browser:
        for name, (page, width, height, dark) in SHOTS.items():
            if only and not name.startswith(only[0]):
                continue
            browser.open(pages / f"{page}.html", width=width, dark=dark, charts=False)
            if browser.run(WIDER):
                print(f"{page} scrolls sideways at {width} px")
            (out / f"{name}.png").write_bytes(small(browser.picture(), height))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
