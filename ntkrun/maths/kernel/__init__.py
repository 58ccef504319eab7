"""Closed forms of kernels of rows."""
