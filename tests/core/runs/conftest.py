"""Shows the tests of lists which runs were read from their folders."""

import pytest

from core.runs import listing
from core.runs.run import read_run


@pytest.fixture
def nothing_read():
    """This process remembers no run."""
    listing.forget_runs()


@pytest.fixture
def reads(monkeypatch):
    """The ids of the runs that were read from their folders, in order."""
    ids = []

    def counted(path):
        ids.append(path.name)
        return read_run(path)

    monkeypatch.setattr(listing, "read_run", counted)
    return ids
