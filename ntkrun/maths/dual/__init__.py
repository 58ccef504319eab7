"""Dual activations: values, derivatives and polynomials."""
