"""The mathematics: imports torch, numpy, scipy, numba and scikit-learn base classes only."""
