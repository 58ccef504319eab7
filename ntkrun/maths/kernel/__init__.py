"""Closed forms of kernels, and polynomials that stand for them."""
