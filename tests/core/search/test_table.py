"""The table of options, against networks that are changed and run by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F

from core.events import result_of
from core.search.joint import AssembledNetwork, choices_key
from core.search.memory import Memory, Table
from core.search.options import LayerOption
from core.search.table import MeasuringImages, mean_divergence_of, measure_table
from tests.toys import Flat, batch

NAMES = ["conv.weight", "head.weight"]
OPTIONS = [LayerOption("clusters", 2), LayerOption("clusters", 5), LayerOption("bits", 3)]


def network():
    torch.manual_seed(0)
    return Flat().eval()


def images(rounding=True):
    judging = [batch(6, seed=1)[0], batch(4, seed=2)[0]]
    return MeasuringImages([batch(16, seed=3)[0]] if rounding else [], judging)


def measured(model, rounding=True):
    table: Table = {}
    result_of(measure_table(model, NAMES, OPTIONS, images(rounding), table))
    return table


def divergence_by_hand(model, changed, batches):
    """The mean over images of sum p (log p - log q)."""
    every = torch.cat(list(batches))
    with torch.no_grad():
        before = F.log_softmax(model(every).double(), 1)
        after = F.log_softmax(changed(every).double(), 1)
    return float((before.exp() * (before - after)).sum(1).mean())


def with_weights(model, weights):
    changed = copy.deepcopy(model)
    for name, weight in weights.items():
        changed.get_parameter(name).data.copy_(weight)
    return changed


def test_each_damage_is_that_of_the_network_with_this_layer_changed():
    model = network()
    before = copy.deepcopy(model.state_dict())
    table = measured(model)
    assert list(table) == NAMES
    for name, options in table.items():
        for option in options:
            changed = with_weights(model, {name: option.item.decode()})
            expected = divergence_by_hand(model, changed, images().judging)
            assert option.damage == pytest.approx(expected, rel=1e-3, abs=1e-6)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("rounding", [True, False])
def test_no_option_is_beaten_by_another_one(rounding):
    for options in measured(network(), rounding).values():
        sizes = [option.bytes for option in options]
        damages = [option.damage for option in options]
        assert sizes == sorted(set(sizes))
        assert damages == sorted(set(damages), reverse=True)


def test_without_images_to_round_on_damage_grows_as_the_squared_error():
    model = network()
    for name, options in measured(model, rounding=False).items():
        weight = model.get_parameter(name).detach()
        finest = options[-1]
        changed = with_weights(model, {name: finest.item.decode()})
        expected = divergence_by_hand(model, changed, images().judging)
        assert finest.damage == pytest.approx(expected, rel=1e-3, abs=1e-6)
        for option in options:
            errors = [
                float((one.item.decode() - weight).square().sum()) for one in (option, finest)
            ]
            assert option.damage / finest.damage == pytest.approx(errors[0] / errors[1], rel=1e-3)


def test_a_table_that_was_begun_is_completed_to_the_same():
    whole = measured(network())
    begun = {NAMES[0]: whole[NAMES[0]]}
    result_of(measure_table(network(), NAMES, OPTIONS, images(), begun))
    assert begun[NAMES[0]] is whole[NAMES[0]]
    assert [vars(option)["damage"] for option in begun[NAMES[1]]] == [
        vars(option)["damage"] for option in whole[NAMES[1]]
    ]


def test_layers_together_are_measured_as_the_network_with_all_of_them_changed():
    model = network()
    memory = Memory()
    memory.table = measured(model)
    assembled = AssembledNetwork(model, memory, images().judging)
    for steps in ({NAMES[0]: 0, NAMES[1]: 1}, {NAMES[0]: 1, NAMES[1]: 0}):
        weights = {name: memory.table[name][step].item.decode() for name, step in steps.items()}
        expected = divergence_by_hand(model, with_weights(model, weights), images().judging)
        assert assembled.divergence(steps) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert len(memory.divergences) == 2


def test_equal_choices_have_one_key_in_any_order():
    choices = {"a": LayerOption("clusters", 2), "b": LayerOption("bits", 4)}
    assert choices_key(choices) == choices_key(dict(reversed(choices.items())))
    assert choices_key(choices) != choices_key({**choices, "a": LayerOption("bits", 2)})


def test_an_answer_that_is_no_number_counts_as_infinitely_far():
    reference = [torch.zeros(2, 3)]
    assert mean_divergence_of([torch.full((2, 3), torch.nan)], reference) == float("inf")
    assert mean_divergence_of([torch.ones(2, 3)], reference) == pytest.approx(0, abs=1e-6)
