"""The values of RAY_ADDRESS that are read or refused, and the versions of Ray that can be used."""

import pytest

from core.errors import UserError
from core.runs.cluster.address import cluster_address, parse_address
from core.runs.cluster.jobs import explain_version


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("local", None),
        ("auto", "http://127.0.0.1:8265"),
        ("http://10.0.0.1:8265", "http://10.0.0.1:8265"),
        (" https://head.example:443/ ", "https://head.example:443"),
        ("http://head", "http://head:8265"),
        ("http://[fd00::2]:8000", "http://[fd00::2]:8000"),
    ],
)
def test_addresses(text, address, monkeypatch):
    assert parse_address(text) == address
    monkeypatch.setenv("RAY_ADDRESS", text)
    assert cluster_address() == address


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1:6379", "ray://head:10001", "http://", "http://head:port", "head", "http://head/api"],
)
def test_what_is_no_dashboard_is_refused(text):
    with pytest.raises(UserError, match=r"RAY_ADDRESS must be auto or the address .*dashboard"):
        parse_address(text)


@pytest.mark.parametrize("version", ["2.49.0", "2.60.0", "2.100.1", "2.50.0rc1"])
def test_versions_that_can_be_used(version):
    assert explain_version(version) is None


@pytest.mark.parametrize("version", ["2.48.0", "1.13.0", "3.0.0", "nightly", ""])
def test_other_versions_are_named(version):
    assert explain_version(version) == f"runs Ray {version}: it needs 2.49 or newer, below 3."
