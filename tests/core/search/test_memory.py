"""The memory of a search, through a checkpoint's file."""

import io

import torch

from core.compress.affine import quantize
from core.compress.kmeans import share_weights
from core.search.memory import MeasuredOption, Memory, PackedCandidate
from core.search.options import LayerOption, choices_of, layer_options, option_of, plain_choices
from tests.toys import batch


def filled():
    weight, _ = batch(2, side=3)
    weight[0, 0, 0, 0] = 0.0
    memory = Memory()
    share = LayerOption("clusters", 3)
    bits = LayerOption("bits", 4)
    memory.table["a"] = [
        MeasuredOption(share, share_weights(weight, 3), 12, 0.5),
        MeasuredOption(bits, quantize(weight, 4, axis=0), 20, 0.25),
    ]
    choices = {"a": bits}
    memory.candidates["x"] = PackedCandidate(choices, b"\x00\xff", 0.5, 2, (1, 2, 3, 4))
    memory.candidates["y"] = PackedCandidate({"a": share}, b"file", 0.25)
    memory.divergences["key"] = 0.125
    return memory


def test_it_is_the_same_after_a_checkpoint():
    memory = filled()
    assert memory.decide("images", lambda: 64) == 64
    file = io.BytesIO()
    torch.save(memory.checkpoint(), file)
    file.seek(0)
    again = Memory()
    again.restore(torch.load(file, weights_only=True))
    assert again.decide("images", lambda: 1) == 64
    assert again.candidates.keys() == memory.candidates.keys()
    for key, made in memory.candidates.items():
        assert vars(again.candidates[key]) == vars(made)
    assert again.divergences == memory.divergences
    for before, after in zip(memory.table["a"], again.table["a"], strict=True):
        assert (after.option, after.bytes, after.damage) == (
            before.option,
            before.bytes,
            before.damage,
        )
        assert type(after.item) is type(before.item)
        assert torch.equal(after.item.decode(), before.item.decode())


def test_a_decision_is_made_once():
    memory = Memory()
    assert memory.decide("trials", lambda: 7) == 7
    assert memory.decide("trials", lambda: 8) == 7


def test_options_as_plain_data():
    choices = {"a": LayerOption("clusters", 5), "b": LayerOption("bits", 2)}
    plain = plain_choices(choices)
    assert plain == {"a": {"clusters": 5}, "b": {"bits": 2}}
    assert choices_of(plain) == choices
    assert option_of({"bits": 8}) == LayerOption("bits", 8)


def test_more_options_contain_the_fewer_ones_and_are_in_the_promised_ranges():
    few, usual, many = (
        layer_options(("share", "round"), detail) for detail in ("few", "usual", "all")
    )
    assert set(few) < set(usual) < set(many)
    for option in many:
        assert 2 <= option.number <= (64 if option.unit == "clusters" else 8)
    assert {option.unit for option in layer_options(("round",), "all")} == {"bits"}


def test_an_option_keeps_zeros_and_has_no_more_values_than_it_says():
    weight, _ = batch(4, side=3)
    weight[:, 0] = 0.0
    for option in layer_options(("share", "round"), "all"):
        decoded = option.quantize(weight, "w").decode()
        assert not decoded[:, 0].any()
        if option.unit == "clusters":
            assert len(decoded[decoded != 0].unique()) <= option.number
