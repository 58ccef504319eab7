"""Methods: one file here and one yaml in conf/method each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import Registry

if TYPE_CHECKING:
    from ntkrun.maths.method.base import Method

METHODS: Registry[Method] = Registry("method", __name__)
