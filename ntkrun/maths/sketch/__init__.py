"""Random linear maps that keep inner products in expectation."""
