"""The stages of a run, in order: data, featurize, regress, score, track."""
