"""The solvers by name: what conf/solver may ask for, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass

from ntkrun import checks
from ntkrun.errors import ConfigError, must_be
from ntkrun.maths.ridge.path import grid, grid_problems


@dataclass(frozen=True)
class Ridge:
    """Ridge regression by its normal equations.

    Parameters
    ----------
    lambda_min, lambda_max : float
        Ends of the grid, relative to the mean squared norm of the centred features.
    lambda_count : int
        Points, equally spaced in the logarithm.
    """

    lambda_min: float = 1e-10
    lambda_max: float = 1e-1
    lambda_count: int = 28

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        return grid_problems(type(self).__name__, self.lambda_min, self.lambda_max, self.lambda_count)

    def check(self) -> None:
        """Raise ConfigError with all problems."""
        if found := self.problems():
            raise ConfigError(" ".join(found))

    def grid(self) -> list[float]:
        """Return the relative ridge parameters, ascending."""
        return grid(self.lambda_min, self.lambda_max, self.lambda_count)

    def bytes(self, columns: int, targets: int) -> int:
        """Return the memory it needs: the sums, and as much again for a group's or for the factor."""
        return 2 * 8 * columns * columns


@dataclass(frozen=True)
class RidgeCG(Ridge):
    """Ridge regression by conjugate gradients over the stored features: memory linear in their columns.

    Parameters
    ----------
    lambda_min, lambda_max, lambda_count
        As for Ridge; all of them are solved together.
    rank : int
        Eigenvectors of the covariance in the preconditioner.
    tolerance : float
        At which a lambda is done: the objective is at most this far above its minimum, relatively.
    max_passes : int
        Over the features, for the whole path.
    """

    lambda_min: float = 1e-6
    lambda_count: int = 6
    rank: int = 512
    tolerance: float = 1e-4
    max_passes: int = 200

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        out = super().problems() + checks.integer("RidgeCG", "rank", self.rank, 1)
        out += checks.real("RidgeCG", "tolerance", self.tolerance, 0, 1)
        return out + checks.integer("RidgeCG", "max_passes", self.max_passes, 1)

    def bytes(self, columns: int, targets: int) -> int:
        """Return the memory it needs: the sketch and its making, vectors for each lambda and target."""
        return 8 * columns * (3 * min(self.rank, columns) + 7 * targets * self.lambda_count)


SOLVERS = {"ridge": Ridge, "ridge_cg": RidgeCG}


def get(name: str) -> type[Ridge]:
    """Return the class called `name` in the yaml files; ConfigError where there is none."""
    if name not in SOLVERS:
        raise ConfigError(must_be("name", "solver", "one of " + ", ".join(SOLVERS), name))
    return SOLVERS[name]
