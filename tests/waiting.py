"""Wait for a condition instead of a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60
"""Seconds after which a test has failed. Nothing is expected to take nearly as long."""


def until(condition: Callable[[], T], patience: float = PATIENCE) -> T:
    """Return what `condition` returns as soon as it is true."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
