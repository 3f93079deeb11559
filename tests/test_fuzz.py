"""A few hundred damaged and hostile files, and bombs: each is read, or refused with one sentence.

`python -m tests.fuzz` goes on for as long as one likes.
"""

import pytest

from core.errors import UserError
from core.sandbox import Limits
from tests import fuzz


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused_with_a_sentence(seed, tmp_path):
    _, complaints = fuzz.run_batch(fuzz.hostile_files(seed, fuzz.BATCH), tmp_path / "files")
    assert len(complaints) > fuzz.BATCH / 2


def test_good_files_are_read_and_bombs_refused(tmp_path):
    good = [(kind, content) for kind, make in fuzz.KINDS.items() for content in make()]
    bombs = list(fuzz.bombs())
    read, complaints = fuzz.run_batch([*good, *bombs], tmp_path / "files")
    assert read == len(good)
    assert sorted(complaints) == sorted(
        f"{kind}-{number}" for number, (kind, _) in enumerate(bombs, len(good))
    )


def test_a_file_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "LIMITS", Limits(seconds=10, megabytes=700))
    with pytest.raises(UserError, match=r"checkpoint-0: .* longer than 10 seconds"):
        fuzz.run_batch([("checkpoint", fuzz.endless())], tmp_path / "files")
