"""The plan of a quantization: exact levels, the size of the real file, no work done twice."""

from typing import Any, get_args

import pytest
import torch

from core.compress import codec
from core.compress.affine import Affine
from core.compress.distortion import snr
from core.compress.kmeans import Codebook, share_weights
from core.compress.quantization.layers import layer_names, quantize_layer
from core.config import AffineRecipe, KMeansRecipe, QuantizeRecipe
from core.errors import UserError
from core.forecast import quantization as planning
from core.forecast.quantization import (
    LayerForecast,
    QuantizationPlan,
    plan_quantization,
    setting_key,
)
from core.models import build
from core.models.card import ModelCard
from core.models.saved import SavedModel

FIRST, LAST = "features.0.weight", "classifier.4.weight"


@pytest.fixture(scope="module")
def lenet():
    """LeNet5 at its first weights, half of the second layer pruned."""
    torch.manual_seed(0)
    state = build("LeNet5", 10).state_dict()
    state["features.3.weight"].view(-1)[::2] = 0
    return saved_model("LeNet5", state)


def saved_model(name, state):
    return SavedModel(
        ModelCard(
            model=name,
            dataset="Digits",
            classes=tuple("0123456789"),
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
            side=32,
        ),
        state,
    )


def planned(saved, recipe, known=None, packed=None):
    """The plan, and the events on the way to it."""
    events, generator = [], plan_quantization(saved, recipe, {} if known is None else known, packed)
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return end.value, events


def packed_bytes(saved, recipe, packed=None):
    """The size of the file that the recipe really makes, without tuning."""
    card = saved.card
    chain = (recipe.model_dump(mode="json"),)
    card = ModelCard(
        model=card.model,
        classes=card.classes,
        mean=card.mean,
        std=card.std,
        side=card.side,
        recipes=chain,
    )
    state = dict(saved.state)
    for name in layer_names(saved.card, recipe):
        item = quantize_layer(saved.state[name], name, recipe, (packed or {}).get(name))
        if item is not None:
            state[name] = item
    return len(codec.pack(state, card, recipe.rest)[0])


@pytest.mark.parametrize(
    "recipe",
    [
        KMeansRecipe(),
        KMeansRecipe(clusters=32, layers={FIRST: 0, LAST: 256}),
        KMeansRecipe(rest="float16"),
        AffineRecipe(),
        AffineRecipe(bits=4, per_channel=False),
        AffineRecipe(bits=3, symmetric=True, range="mse"),
    ],
    ids=str,
)
def test_the_estimate_is_near_the_real_file(lenet, recipe):
    found, _ = planned(lenet, recipe)
    assert found.packed_bytes == pytest.approx(packed_bytes(lenet, recipe), rel=0.03)
    assert found.float_bytes == sum(4 * tensor.numel() for tensor in lenet.state.values())
    assert found.ratio == found.float_bytes / found.packed_bytes


def test_a_large_network_is_estimated_as_well():
    torch.manual_seed(0)
    saved = saved_model("ResNet20", build("ResNet20", 10).state_dict())
    recipe = KMeansRecipe(clusters=16, batchnorm=True)
    assert planned(saved, recipe)[0].packed_bytes == pytest.approx(
        packed_bytes(saved, recipe), rel=0.03
    )


def test_the_figures_of_a_layer_are_those_of_what_is_made(lenet):
    found, _ = planned(lenet, KMeansRecipe(clusters=7, layers={LAST: 3, FIRST: 0}))
    layers = {layer.name: layer for layer in found.layers}
    weight = lenet.state["features.3.weight"]
    codebook = share_weights(weight, 7)
    assert layers["features.3.weight"].levels == 7
    assert layers["features.3.weight"].zeros == (weight == 0).sum() >= weight.numel() // 2
    assert layers["features.3.weight"].snr == snr(weight, codebook.decode())
    assert (layers[LAST].choice, layers[LAST].levels) == (3, 3)
    assert (layers[FIRST].choice, layers[FIRST].levels, layers[FIRST].snr) == (0, None, None)
    # In float32, of which the exponents are deflated.
    assert 0.8 < layers[FIRST].bytes / (4 * lenet.state[FIRST].numel()) < 0.9


def test_bits_count_what_each_weight_takes():
    assert LayerForecast("w", 2, weights=16, zeros=0, levels=2, bytes=10, snr=None).bits == 5
    assert QuantizationPlan([], 100, 25).ratio == 4


def test_few_values_lose_nothing():
    saved = saved_model(
        "LeNet5", {name: tensor.sign() for name, tensor in build("LeNet5", 10).state_dict().items()}
    )
    layer = planned(saved, KMeansRecipe(clusters=8))[0].layers[0]
    assert (layer.levels, layer.snr) == (2, None)


def test_one_more_setting_quantizes_one_more_layer(lenet, monkeypatch):
    tried = []

    def recorded(weight, name, *rest):
        tried.append(name)
        return quantize_layer(weight, name, *rest)

    monkeypatch.setattr(planning, "quantize_layer", recorded)
    memory: dict[str, Any] = {}
    first, events = planned(lenet, KMeansRecipe(), memory)
    assert tried == layer_names(lenet.card, KMeansRecipe())
    assert [event.total for event in events] == [
        sum(lenet.state[name].numel() for name in tried)
    ] * len(tried)
    assert [event.done for event in events] == sorted({event.done for event in events})

    assert planned(lenet, KMeansRecipe(epochs=9), memory) == (first, [])  # tuning comes later
    changed, events = planned(lenet, KMeansRecipe(layers={LAST: 9}), memory)
    assert tried[len(first.layers) :] == [LAST]
    assert len(events) == 1
    assert changed.layers[:-1] == first.layers[:-1]


def test_what_a_layer_depends_on_is_in_its_setting():
    plain = setting_key(KMeansRecipe(), FIRST)
    assert plain == setting_key(KMeansRecipe(epochs=3, lr=0.1, layers={LAST: 3}, seed=9), FIRST)
    others: list[QuantizeRecipe] = [
        KMeansRecipe(clusters=6),
        KMeansRecipe(init="optimal"),
        KMeansRecipe(keep_zeros=False),
        KMeansRecipe(layers={FIRST: 9}),
        KMeansRecipe(rest="float16"),
        AffineRecipe(),
        AffineRecipe(bits=4),
        AffineRecipe(per_channel=False),
        AffineRecipe(symmetric=True),
        AffineRecipe(range="mse"),
    ]
    assert len({plain, *(setting_key(recipe, FIRST) for recipe in others)}) == 1 + len(others)
    assert setting_key(KMeansRecipe(init="k-means++"), FIRST) != setting_key(
        KMeansRecipe(init="k-means++", seed=1), FIRST
    )


def test_every_start_is_one_that_clustering_knows(lenet):
    for init in get_args(KMeansRecipe.model_fields["init"].annotation):
        codebook = quantize_layer(lenet.state[FIRST], FIRST, KMeansRecipe(init=init))
        assert isinstance(codebook, Codebook)
        assert codebook.centroids.numel() == 5


def test_rounding_shared_weights_rounds_their_centroids(lenet):
    codebook = share_weights(lenet.state[LAST], 5)
    saved = saved_model("LeNet5", {**lenet.state, LAST: codebook.decode()})
    item = quantize_layer(saved.state[LAST], LAST, AffineRecipe(bits=4), codebook)
    assert isinstance(item, Codebook)
    assert torch.equal(item.indices, codebook.indices)
    assert isinstance(quantize_layer(saved.state[LAST], LAST, AffineRecipe(bits=4)), Affine)
    found, _ = planned(saved, AffineRecipe(), packed={LAST: codebook})
    assert found.layers[-1].levels == 5
    assert found.packed_bytes == pytest.approx(
        packed_bytes(saved, AffineRecipe(), {LAST: codebook}), rel=0.03
    )


def test_batchnorm_comes_last_and_only_if_asked():
    saved = saved_model("ResNet20", build("ResNet20", 10).state_dict())
    plain = layer_names(saved.card, KMeansRecipe())
    more = layer_names(saved.card, AffineRecipe(batchnorm=True))
    assert more[: len(plain)] == plain
    assert "bn1.weight" in more[len(plain) :]
    affine = quantize_layer(saved.state["bn1.weight"], "bn1.weight", AffineRecipe())
    assert isinstance(affine, Affine)
    assert affine.axis is None


def test_a_layer_that_is_none_is_named(lenet):
    with pytest.raises(
        UserError, match=r"nothing\.weight is not a weight .* known are features\.0\.weight"
    ):
        planned(lenet, KMeansRecipe(layers={"nothing.weight": 3}))


def test_a_layer_that_is_not_finite_is_named(lenet):
    saved = saved_model("LeNet5", {**lenet.state, LAST: torch.full((10, 84), torch.nan)})
    with pytest.raises(UserError, match=LAST):
        planned(saved, KMeansRecipe())
    assert planned(saved, KMeansRecipe(layers={LAST: 0}))[0].layers[-1].levels is None
