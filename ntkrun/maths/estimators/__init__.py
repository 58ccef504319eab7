"""Ridge regression as scikit-learn estimators."""
