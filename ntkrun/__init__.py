"""ntkrun: neural-tangent-kernel learning at the cost of a linear model."""

__version__ = "0.1.0"
