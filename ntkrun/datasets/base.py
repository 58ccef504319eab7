"""What every data set in conf/dataset has in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ntkrun import checks
from ntkrun.datasets.preprocess import PREPROCESS
from ntkrun.datasets.split import Split
from ntkrun.errors import ConfigError
from ntkrun.maths.layout import LAYOUTS
from ntkrun.store.paths import as_path


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A data set as the yaml names it; `load` reads it.

    Parameters
    ----------
    n_train, n_test : int or None
        Rows to take, a stratified subset; None takes all.
    valid_fraction : float
        Share of train held out to choose lambda.
    split_seed : int
        Seed of the subsets and the held-out part; a sweep over `seed` leaves it alone.
    preprocess : {"standardize", "contrast", "zca"}
        Fitted on train: zero mean and unit variance of each channel or column; that, with all images
        brought to the same brightness and contrast; or whitening of images of unit norm.
    augment : {"none", "flip"}
        flip: every image and its mirror image are rows of their own; predictions average both.
    data_dir : str or None
        Where downloads are kept; None takes $NTKRUN_DATA_DIR, or else the cache folder of the system.
    """

    name: ClassVar[str]

    n_train: int | None = None
    n_test: int | None = None
    valid_fraction: float = 0.2
    split_seed: int = 0
    preprocess: str = "standardize"
    augment: str = "none"
    data_dir: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter, without touching a file."""
        me, out = type(self).__name__, []
        for key in ("n_train", "n_test"):
            value = getattr(self, key)
            if value is not None:
                out += checks.integer(me, key, value, 4 if key == "n_train" else 1)
        out += checks.real(me, "valid_fraction", self.valid_fraction, 0, 0.9)
        out += checks.integer(me, "split_seed", self.split_seed, 0, 2**32 - 1)
        out += checks.choice(me, "preprocess", self.preprocess, PREPROCESS.names)
        out += checks.choice(me, "augment", self.augment, ("none", "flip"))
        return out

    def check(self) -> None:
        """Raise ConfigError with all problems."""
        if found := self.problems():
            raise ConfigError(" ".join(found))

    def load(self) -> Split:
        """Read the data and return its split; DataError or NetworkError where that fails."""
        raise NotImplementedError

    def subset(self) -> dict:
        """Return the arguments of `make_split` that every data set passes on."""
        keys = ("n_train", "n_test", "valid_fraction", "split_seed", "preprocess", "augment")
        return {k: getattr(self, k) for k in keys}

    def cache(self) -> Path:
        """Return the folder for downloads."""
        import os

        import pooch

        return as_path(self.data_dir or os.environ.get("NTKRUN_DATA_DIR") or pooch.os_cache("ntkrun"))


@dataclass(frozen=True, kw_only=True)
class ArraySource(DataSource):
    """A data set of the user's own arrays.

    Parameters
    ----------
    layout : {"channels_last", "channels_first"} or None
        Where the channels of images stand: (n, H, W, C) or (n, C, H, W). None takes the first, unless the
        shape looks like the second: then it is refused. (n, H, W) are grey images in any case.
    """

    layout: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        if self.layout is not None:
            out += checks.choice(type(self).__name__, "layout", self.layout, LAYOUTS)
        return out

    def subset(self) -> dict:
        """Return the arguments of `make_split` that every data set passes on, and the layout."""
        return super().subset() | {"layout": self.layout}
