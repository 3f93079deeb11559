"""The normalisation that a network was trained with is found on training images."""

import pytest
import torch
from torch import nn

from core import data
from core.data.normalisation import USUAL_NORMALISATIONS
from core.events import Progress, result_of
from core.forecast.normalisation import candidates, rank_normalisations


class Remembering(nn.Module):
    """Answers nothing, but remembers which pixels it was trained on."""

    def __init__(self, root, normalisation):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, affine=False)
        mean = torch.tensor(normalisation.mean)
        std = torch.tensor(normalisation.std)
        pixels = _pixels(root)
        # What BatchNorm keeps of Digits.
        self.norm.running_mean = (pixels.mean((0, 2, 3)) - mean) / std
        self.norm.running_var = pixels.var((0, 2, 3)) / std**2

    def forward(self, images):
        self.norm(images)
        return torch.zeros(len(images), 10)


def _pixels(root):
    images = data.subset(data.load("Digits", root).train, 500, seed=0).images
    return torch.from_numpy(images.copy()).float() / 255


@pytest.mark.parametrize("name", USUAL_NORMALISATIONS)
def test_batchnorm_tells_equally_accurate_ones_apart(name, digits):
    network = Remembering(digits, USUAL_NORMALISATIONS[name]).eval()
    ranked = result_of(rank_normalisations(network, "Digits", digits))
    assert ranked[0].normalisation == USUAL_NORMALISATIONS[name]
    assert len({trial.accuracy for trial in ranked}) == 1


class Threshold(nn.Module):
    """Right about an image if the sum of its pixels is what the labels say. No BatchNorm."""

    def __init__(self, root, normalisation):
        super().__init__()
        mean = torch.tensor(normalisation.mean).view(3, 1, 1)
        std = torch.tensor(normalisation.std).view(3, 1, 1)
        loaded = data.load("Digits", root)
        subset = data.subset(loaded.train, 500, seed=0)
        pixels = _pixels(root)
        self.sums = ((pixels - mean) / std).flatten(1).sum(1)
        self.labels = torch.from_numpy(subset.labels.copy())

    def forward(self, images):
        sums = images.flatten(1).sum(1)
        nearest = (sums[:, None] - self.sums[None]).abs().argmin(1)
        return nn.functional.one_hot(self.labels[nearest], 10).float()


@pytest.mark.parametrize("name", ["ImageNet, usual", "From -1 to 1", "None: from 0 to 255"])
def test_the_most_accurate_one_comes_first(name, digits):
    network = Threshold(digits, USUAL_NORMALISATIONS[name])
    ranked = result_of(rank_normalisations(network, "Digits", digits))
    assert ranked[0].normalisation == USUAL_NORMALISATIONS[name]
    assert ranked[0].accuracy > ranked[-1].accuracy
    assert all(trial.mismatch is None for trial in ranked)


def test_all_candidates_are_tried_with_progress(digits):
    network = Threshold(digits, USUAL_NORMALISATIONS["ImageNet, usual"])
    events = rank_normalisations(network, "Digits", digits)
    first = next(events)
    assert isinstance(first, Progress)
    assert (first.done, first.total) == (0, 8)
    names = {trial.name for trial in result_of(events)}
    assert names == set(candidates("Digits", digits))
    assert "Digits, its own" in names


def test_the_network_is_as_it_was(digits):
    network = Remembering(digits, USUAL_NORMALISATIONS["ImageNet, usual"]).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result_of(rank_normalisations(network, "Digits", digits))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.norm._forward_hooks
