"""Publish finished runs in an MLflow store."""
