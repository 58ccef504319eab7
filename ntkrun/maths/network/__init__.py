"""A network as a list of layers, and its readings: sketched, nystrom, exact."""
