"""The address of a saved model's server: it stands in every saved model, so it stays where it is."""

from ntkrun.tracking.serving import _load_pyfunc

__all__ = ["_load_pyfunc"]
