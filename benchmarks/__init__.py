"""How fast ntkrun is on this machine: a table and a picture each. `python -m benchmarks` runs all."""
