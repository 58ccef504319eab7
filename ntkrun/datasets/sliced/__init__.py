"""Data read by the slice: rows of a file as a source of rows, checked block by block."""
