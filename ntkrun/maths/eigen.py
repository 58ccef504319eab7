"""Eigenvalues of symmetric matrices, with a fallback if the fastest algorithm fails."""

from __future__ import annotations

import scipy.linalg
import torch
from torch import Tensor


def eigh(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return ascending eigenvalues (m,) and eigenvectors (m, m), in columns, of symmetric a (m, m).

    torch's divide and conquer (LAPACK syevd) did not converge on finite matrices with a large null space from
    sums over neighbours that are always zero (MKL 2024.2, AVX-512, two threads). LAPACK's relatively robust
    representations do.
    """
    try:
        values, vectors = torch.linalg.eigh(a)
    except torch.linalg.LinAlgError:
        found = scipy.linalg.eigh(a.cpu().numpy(), driver="evr")
        values, vectors = (torch.from_numpy(v).to(a.device) for v in found)
    return values, vectors
