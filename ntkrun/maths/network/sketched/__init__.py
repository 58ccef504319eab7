"""Layers as maps of sketched features."""
