"""Test eigh where torch's own works, and where that gives up."""

import pytest
import torch

from ntkrun.maths.eigen import eigh


@pytest.fixture
def matrix():
    """Return a matrix of rank 64 in the middle of 576, on which MKL's divide and conquer failed."""
    z = torch.zeros(700, 576, dtype=torch.float64)
    z[:, 256:320] = 0.01 * torch.randn(700, 64, dtype=torch.float64, generator=torch.manual_seed(0))
    return z.T @ z


@pytest.mark.parametrize("gives_up", [False, True])
def test_eigenvalues_and_vectors(matrix, gives_up, monkeypatch):
    if gives_up:

        def raises(_):
            raise torch.linalg.LinAlgError("did not converge")

        monkeypatch.setattr(torch.linalg, "eigh", raises)
    values, vectors = eigh(matrix)
    assert torch.allclose(vectors * values @ vectors.T, matrix, atol=1e-14)
    assert torch.allclose(vectors.T @ vectors, torch.eye(576, dtype=torch.float64), atol=1e-12)
    assert (values.diff() >= 0).all()
