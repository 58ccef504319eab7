"""Import path of the model loader; every saved model names it, so it must not move."""

from ntkrun.tracking.serving import _load_pyfunc

__all__ = ["_load_pyfunc"]
