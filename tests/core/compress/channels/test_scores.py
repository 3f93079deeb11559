"""Scores of whole channels, by hand and in real networks."""

import pytest
import torch
from torch import nn

from core import models
from core.compress import masks, snip
from core.compress.channels.dead import compare_costs, find_dead_channels
from core.compress.channels.remove import remove_channels
from core.compress.channels.scores import channel_scores
from core.compress.pruning.scoring_images import images_in_memory
from core.errors import UserError
from core.models.parameters import prunable_weights
from tests import toys
from tests.core.compress.channels.toys import Residual, conv


def test_by_hand():
    """The channels of the first layer sum to 6, 3 and 9, those of the second to 2 and 8.

    The best of each layer are first, 9 before 8; then 6, 3 and 2. So their places from the last
    are: 9 has 5, 8 has 4, 6 has 3, 3 has 2, 2 has 1. Image and outputs are above all of them.
    """
    network = nn.Sequential(conv(3, 3), conv(3, 2), conv(2, 1), nn.Flatten())
    importance = {
        "0.weight": torch.tensor([[1.0, 2, 3], [1, 1, 1], [3, 3, 3]])[:, :, None, None],
        "1.weight": torch.tensor([[1.0, 1, 0], [0, 4, 4]])[:, :, None, None],
        "2.weight": torch.tensor([[5.0, 0.0]])[:, :, None, None],
    }
    scores = channel_scores(network, importance, 2)
    assert scores["0.weight"].flatten(1).tolist() == [[3, 3, 3], [2, 2, 2], [5, 5, 5]]
    assert scores["1.weight"].flatten(1).tolist() == [[1, 1, 1], [3, 2, 4]]
    assert scores["2.weight"].flatten(1).tolist() == [[1, 4]]


def test_channels_that_hang_together_are_one():
    """Channel 0 of the sum has 1 + 2 from stem and branch, and channel 1 has 3 + 1."""
    importance = {
        "stem.weight": torch.tensor([[1.0, 0, 0], [3, 0, 0]])[:, :, None, None],
        "branch.weight": torch.tensor([[2.0, 0], [1, 0]])[:, :, None, None],
        "reader.weight": torch.zeros(1, 2, 1, 1),
    }
    scores = channel_scores(Residual(), importance, 2)
    kept = masks.keep_top(scores, 5 / 12)  # the 3 + 1 + 1 weights between channels 1 of all
    assert kept["stem.weight"].flatten(1).tolist() == [[False] * 3, [True] * 3]
    assert kept["branch.weight"].flatten(1).tolist() == [[False, False], [False, True]]
    assert kept["reader.weight"].flatten().tolist() == [False, True]


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5])
@pytest.mark.parametrize(
    "name",
    ["LeNet5", pytest.param("VGG16", marks=pytest.mark.slow), "ResNet20", "mobilenet_v2"],
)
def test_the_weights_that_a_density_keeps_are_those_of_a_smaller_network(name, density):
    torch.manual_seed(0)
    network = models.build(name, 10).eval()
    importance = {key: weight.detach().abs() for key, weight in prunable_weights(network).items()}
    kept = masks.keep_top(channel_scores(network, importance, 32), density)
    total = sum(mask.numel() for mask in kept.values())
    count = round(density * total)
    assert sum(int(mask.sum()) for mask in kept.values()) == count
    for mask in kept.values():  # a channel that is cut is cut as a whole, but for the last group
        assert mask.flatten(1).any(1).any()
    masks.apply_(network, kept)
    smaller = remove_channels(network, find_dead_channels(network, 32))
    report = compare_costs(network, smaller, 32)
    assert report.before.weights == total
    assert abs(report.after.weights - count) < 0.06 * total  # one group at most
    assert min(report.after.channels.values()) >= 1


def test_the_method_sums_the_scores_of_snip():
    torch.manual_seed(0)
    network = models.build("LeNet5", 5)
    images, labels = toys.batch(8, 32)
    steps = snip.scoring_steps(
        "channel-snip", network, images_in_memory(images, labels), density=0.1
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    expected = channel_scores(network, snip.scores(network, images, labels), 32)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_layerwise_is_refused_in_a_sentence():
    images = images_in_memory(*toys.batch(2, 32))
    steps = snip.scoring_steps(
        "channel-snip", models.build("LeNet5", 5), images, density=0.1, layerwise=True
    )
    with pytest.raises(UserError, match="layerwise must be False with method channel-snip"):
        next(steps)
