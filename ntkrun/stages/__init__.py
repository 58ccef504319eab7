"""Stages of a run, in order: data, featurize, regress, score."""
