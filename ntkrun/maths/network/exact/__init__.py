"""Exact kernels of a network, and features with exactly these kernels."""
