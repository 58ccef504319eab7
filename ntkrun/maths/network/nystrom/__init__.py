"""Layers fitted to training images by Nystrom maps."""
