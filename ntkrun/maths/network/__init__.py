"""A network as a list of layers, read as sketched, fitted (nystrom) or exact."""
