"""An image for the networks under test."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def image():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
