"""A folder of own networks."""

import pytest

from tests.core.models.outside.sources import GOOD


@pytest.fixture
def own(own_folder):
    """A function that writes a file of the folder SECATEUR_MODELS, and returns its path."""

    def write(source=GOOD, name="my_network"):
        path = own_folder / f"{name}.py"
        path.write_text(source)
        return path

    return write
