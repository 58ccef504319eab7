"""Kernels, features and ridge regression; imports only torch, numpy, scipy, numba and scikit-learn bases."""
