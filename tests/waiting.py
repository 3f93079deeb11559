"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60  # seconds, after which a test has failed; nothing is expected to take nearly as long


def until(condition: Callable[[], Any]) -> Any:
    """What `condition` returns as soon as it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found
