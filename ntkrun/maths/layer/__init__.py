"""Layers of the network, read as maps of features."""
