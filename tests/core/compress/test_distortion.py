"""Errors and signal-to-noise ratios by hand."""

import math

import pytest
import torch

from core.compress.distortion import decibels, energy, snr, squared_error


def test_snr_in_decibels():
    weight = torch.tensor([3.0, 4.0])
    assert snr(weight, torch.tensor([3.0, 3.5])) == pytest.approx(20)  # 25 over 0.25
    assert snr(weight, weight) == math.inf
    assert snr(torch.zeros(2), weight) == -math.inf
    assert squared_error(weight, torch.zeros(2)) == energy(weight) == 25


@pytest.mark.parametrize(
    ("signal", "noise", "expected"),
    [(100, 1, 20), (1, 10, -10), (1, 0, math.inf), (0, 1, -math.inf), (0, 0, math.inf)],
)
def test_decibels_by_hand(signal, noise, expected):
    assert decibels(signal, noise) == expected


def test_sums_are_in_float64():
    weight = torch.tensor([1e4, 1e-3])
    assert energy(weight) == pytest.approx(1e8 + 1e-6, rel=1e-15)
