"""Study of theorem 3."""

from __future__ import annotations

import torch

from ntkrun.datasets.split import Split
from ntkrun.maths.dual.arccos import kappa1
from ntkrun.maths.kernel.rows import unit
from ntkrun.maths.metrics import spectral_error
from ntkrun.maths.rng import Stream
from ntkrun.maths.sampling import leverage_exact, leverage_gibbs
from ntkrun.studies.base import Series, Size, Study, sample

RELATIVE_LAMBDA = 1e-3  # lambda as a share of the trace of K


class Theorem3(Study):
    """Measure theorem 3 (leverage scores): a spectral approximation of the first layer's kernel."""

    name = "theorem_3"

    def run(self, split: Split, size: Size) -> list[Series]:
        """Return the spectral error eps over the number of features for three weight distributions.

        Features of kappa1, the arc-cosine kernel of order one: sqrt(2/m) relu(w.x) for Gaussian weights,
        sqrt(2d/m) relu(w.x)/|w| for weights drawn by leverage scores.
        """
        x = sample(split, size.rows).flatten(1)
        norm, d = x.norm(dim=1), x.shape[1]
        u = unit(x)
        truth = norm[:, None] * norm[None] * kappa1(u @ u.T)
        lam = RELATIVE_LAMBDA * float(truth.trace())
        out = []
        for law in ("gaussian", "leverage_gibbs", "leverage_exact"):
            dims, errors = size.dims(256), []
            for m in dims:
                trials = []
                for seed in range(size.trials):
                    z = norm[:, None] * features(u, m, law, Stream(seed).child("theorem_3").child(law))
                    trials.append(spectral_error(z @ z.T, truth, lam))
                errors.append(trials)
            label = f"{law}, d = {d}"
            panel = f"lambda = {RELATIVE_LAMBDA:g} trace K, n = {len(x)}"
            out.append(
                Series(panel, label, "features", "spectral error eps", [float(m) for m in dims], errors, -0.5)
            )
        return out


def features(u: torch.Tensor, m: int, law: str, stream: Stream) -> torch.Tensor:
    """Return features (n, m) of kappa1 for unit rows u (n, d)."""
    d = u.shape[1]
    if law == "gaussian":
        return torch.relu(u @ stream.gaussian(m, d, dtype=torch.float64).T) * (2 / m) ** 0.5
    w = (leverage_exact if law == "leverage_exact" else leverage_gibbs)(m, d, stream)
    return torch.relu(u @ w.T) / w.norm(dim=1) * (2 * d / m) ** 0.5
