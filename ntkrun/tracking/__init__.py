"""Finished runs in an MLflow store."""
