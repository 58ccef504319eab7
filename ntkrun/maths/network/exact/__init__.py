"""Exact kernels of a network, and features that have them."""
