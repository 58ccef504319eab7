"""Benchmarks of ntkrun on this machine, each a table and a picture. `python -m benchmarks` runs all."""
