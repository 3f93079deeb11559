"""The training loop: exact masks, exact resume, against a loop that anybody would write."""

import io

import pytest
import torch
import torch.nn.functional as F

from core import data
from core.compress import codec
from core.compress import masks as masking
from core.compress.pruning.methods import PRUNING_METHODS
from core.config import Prune, TrainRecipe
from core.data.batches import DeviceImages, epoch_plan
from core.data.imageset import ImageSet, hold_back
from core.errors import UserError
from core.events import EpochEnd, Finished, Note, Progress, Pruned
from core.forecast.cost import estimated_bytes
from core.jobs import train
from core.jobs.train import TrainJob
from core.models.parameters import prunable_weights
from core.training import setup
from core.training.evaluate import evaluate
from core.training.precision import ChosenPrecision
from core.training.schedule import lr_at
from tests import eager_worker

SMALL = {
    "model": "LeNet5",
    "dataset": "Digits",
    "device": "cpu",
    "epochs": 2,
    "batch_size": 16,
    "train_images": 40,
    "lr": 0.05,
}


@pytest.fixture
def toy(monkeypatch):
    """Every network is the small one with BatchNorm and dropout."""
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))


def small(**changes):
    return TrainRecipe(**{**SMALL, "prune": Prune(density=0.2, batches=1), **changes})


def trained(recipe, root):
    training = TrainJob(recipe, root)
    return training, list(training.events())


def assert_same(first, second):
    """The same files with the same tensors, bit for bit."""
    assert first.keys() == second.keys()
    for file in first:
        assert first[file].keys() == second[file].keys()
        for name, tensor in first[file].items():
            assert tensor.dtype == second[file][name].dtype
            assert tensor.numpy().tobytes() == second[file][name].numpy().tobytes(), (
                f"{file}: {name}"
            )


def steps(events):
    return [
        event for event in events if isinstance(event, Progress) and event.stage.startswith("Epoch")
    ]


def summary_of(events):
    assert isinstance(events[-1], Finished)
    return events[-1].summary


def snip_scores(model):
    """|w * dL/dw| of every prunable weight, after a backward pass."""
    scores = {}
    for name, weight in prunable_weights(model).items():
        assert weight.grad is not None
        scores[name] = (weight.grad * weight).abs().detach()
    return scores


def is_positive_zero(tensor):
    return bool((tensor.view(torch.int32) == 0).all())


# -- masks --


@pytest.mark.parametrize(
    "prune",
    [
        Prune(density=0.1),
        Prune(density=0.1, layerwise=True),
        Prune(density=0.02),
        Prune(method="magnitude", density=0.3),
        Prune(method="random", density=0.5),
    ],
    ids=str,
)
def test_pruned_weights_are_zero_after_every_step(digits, prune):
    training = TrainJob(small(prune=prune, momentum=0.95, weight_decay=0.01), digits)
    initial: dict[str, torch.Tensor] = {}
    for event in training.events():
        if isinstance(event, Progress) and event.stage.startswith("Epoch"):
            for name, mask in training.masks.items():
                assert is_positive_zero(training.model.get_parameter(name).detach()[~mask]), name
        elif isinstance(event, Pruned):
            initial = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    result = training.result()
    for name, mask in result["masks"].items():
        assert is_positive_zero(result["model"][name][~mask])
        assert is_positive_zero(result["best"][name][~mask])
    moved = sum(
        int((result["model"][name] != initial[name])[mask].count_nonzero())
        for name, mask in training.masks.items()
    )
    assert moved > 0.5 * sum(int(mask.sum()) for mask in training.masks.values())


@pytest.mark.parametrize("density", [1.0, 0.5, 0.1, 0.0333, 0.05])
def test_the_count_is_exact(digits, density):
    training, events = trained(small(epochs=1, prune=Prune(density=density)), digits)
    pruned = next(event for event in events if isinstance(event, Pruned))
    total = sum(weight.numel() for weight in prunable_weights(training.model).values())
    assert (pruned.kept, pruned.prunable) == (round(density * total), total)
    assert sum(int(mask.sum()) for mask in training.masks.values()) == pruned.kept
    assert events[-1].summary.kept == pruned.kept
    assert {name: sum(pair) for name, pair in pruned.layers.items()}.keys() == prunable_weights(
        training.model
    ).keys()


def test_layerwise_is_exact_in_every_layer(digits):
    training, _ = trained(small(epochs=1, prune=Prune(density=0.05, layerwise=True)), digits)
    for mask in training.masks.values():
        assert int(mask.sum()) == max(1, round(0.05 * mask.numel()))


def test_the_weights_that_were_scored_are_the_weights_that_are_trained(digits):
    """The mask is keep_top of |w * dL/dw|, of the initial weights on the first training batch."""
    recipe = small()
    training, _ = trained(recipe, digits)
    dataset = data.load("Digits", digits)
    model = setup.initial_network(recipe, dataset, torch.device("cpu"))
    everything = setup.training_images(recipe, dataset, torch.device("cpu"))
    images, labels = setup.scoring_images(recipe, dataset, everything).load(0, 16)
    order, _ = epoch_plan(40, recipe.seed, 0, False)
    assert labels.tolist() == training._loop.images.labels[order[:16]].tolist()
    F.cross_entropy(model.eval()(images), labels).backward()
    expected = masking.keep_top(snip_scores(model), 0.2)
    assert all(torch.equal(training.masks[name], mask) for name, mask in expected.items())


def test_a_layer_that_dies_is_named_before_training_starts(digits):
    _, events = trained(small(epochs=1, prune=Prune(density=0.0005)), digits)
    pruned = next(event for event in events if isinstance(event, Pruned))
    dead = [name for name, (kept, _) in pruned.layers.items() if kept == 0]
    warnings = [event for event in events if isinstance(event, Note) and event.level == "warning"]
    assert dead
    *of_layers, of_paths = warnings
    assert [warning.text.split()[0] for warning in of_layers] == dead
    assert of_paths.text.startswith("0.00% of the kept weights can still matter.")
    assert events.index(warnings[-1]) < events.index(steps(events)[0])


def test_a_pruning_that_cuts_nothing_off_is_not_mentioned(digits):
    _, events = trained(small(epochs=1, prune=Prune(density=1.0)), digits)
    assert not any("can still matter" in str(event) for event in events)


@pytest.mark.parametrize(
    ("prune", "sentence"),
    [
        (Prune(), "Scoring by snip, on 40 training images, in evaluation mode (--scoremode eval)."),
        (
            Prune(batches=1, score_mode="train"),
            "Scoring by snip, on 16 training images, in training mode (--scoremode train).",
        ),
        (Prune(method="synflow", rounds=2), "Scoring by synflow in 2 rounds, without images."),
    ],
    ids=str,
)
def test_the_log_says_how_the_weights_are_scored(digits, prune, sentence):
    _, events = trained(small(epochs=1, prune=prune), digits)
    assert sentence in [event.text for event in events if isinstance(event, Note)]


@pytest.mark.parametrize("method", PRUNING_METHODS)
def test_every_method_prunes_a_network_that_then_trains(method, digits, toy):
    recipe = small(epochs=1, prune=Prune(method=method, density=0.2, rounds=2))
    training, events = trained(recipe, digits)
    pruned = next(event for event in events if isinstance(event, Pruned))
    assert summary_of(events).kept == pruned.kept == round(0.2 * pruned.prunable)
    for name, mask in training.masks.items():
        assert is_positive_zero(training.model.get_parameter(name).detach()[~mask])


def masks_and_first_weights(recipe, root):
    """The masks, and the weights just before the first step."""
    training = TrainJob(recipe, root)
    next(event for event in training.events() if isinstance(event, Pruned))
    weights = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    return training.masks, weights


def test_a_reinitialized_network_has_the_masks_of_snip_and_other_weights(digits):
    def drawn(method, seed=3):
        prune = Prune(method=method, density=0.2, batches=1)
        return masks_and_first_weights(small(seed=seed, prune=prune), digits)

    expected_masks, snip_weights = drawn("snip")
    masks, weights = drawn("snip-reinitialized")
    _, again = drawn("snip-reinitialized")
    _, of_next_seed = drawn("snip", seed=4)
    assert all(torch.equal(masks[name], mask) for name, mask in expected_masks.items())
    for name in masks:
        assert torch.equal(weights[name], again[name])
        assert not (weights[name] == snip_weights[name]).any()
        assert not torch.equal(weights[name], of_next_seed[name])
        assert weights[name].std().item() == pytest.approx(snip_weights[name].std().item(), rel=0.3)


@pytest.mark.parametrize("prune", [Prune(density=0.2, batches=1), None], ids=["pruned", "dense"])
def test_the_initial_weights_are_offered_once_as_drawn(digits, prune):
    recipe = small(prune=prune)
    training = TrainJob(recipe, digits)
    offered = []
    for event in training.events():
        if training.initial():
            assert training.checkpoint() is None
            offered.append({name: item.clone() for name, item in training.initial().items()})
        if isinstance(event, EpochEnd):
            break
    (initial,) = offered
    drawn = setup.initial_network(recipe, data.load("Digits", digits), torch.device("cpu"))
    assert_same({"initial": initial}, {"initial": drawn.state_dict()})


def test_a_resumed_training_offers_no_initial_weights(digits):
    training = TrainJob(small(), digits)
    next(event for event in training.events() if isinstance(event, EpochEnd))
    resumed = TrainJob(small(), digits, training.checkpoint())
    assert resumed.initial() == {}
    assert not any(resumed.initial() for _ in resumed.events())


def test_a_dense_network_has_no_masks(digits):
    training, events = trained(small(prune=None, epochs=1), digits)
    assert not any(isinstance(event, Pruned) for event in events)
    assert "masks" not in training.result()
    assert (events[-1].summary.density, events[-1].summary.kept) == (
        1.0,
        events[-1].summary.prunable,
    )


# -- the loop --


@pytest.mark.parametrize(
    "prune",
    [
        None,
        Prune(density=0.5),
        Prune(density=0.1, batches=1),
        Prune(density=0.03, batches=1),
        Prune(density=0.01, batches=1),
        Prune(density=0.03, layerwise=True, batches=1),
    ],
)
def test_every_network_gets_a_packed_file_of_the_size_that_the_preview_says(digits, prune):
    recipe = small(prune=prune, epochs=1, train_images=None)
    training, events = trained(recipe, digits)
    content = training.files()["packed.secateur"]
    packed = codec.unpack(content)
    assert_same({"model": packed.state()}, {"model": training.result()["model"]})
    assert packed.card == training.card()
    summary = summary_of(events)
    assert summary.packed_bytes == len(content) < summary.float_bytes
    counts = masking.counts(training.masks)
    state = training.model.state_dict()
    layers = {name: tensor.numel() for name, tensor in prunable_weights(training.model).items()}
    others = sum(tensor.numel() for name, tensor in state.items() if name not in layers)
    kept = {name: kept for name, (kept, _) in counts.items()}
    assert estimated_bytes(kept, layers, others).packed == pytest.approx(len(content), rel=0.05)


def test_there_is_no_packed_file_before_the_end(digits):
    training = TrainJob(small(), digits)
    for event in training.events():
        if not isinstance(event, Finished):
            assert training.files() == {}


def plain_loop(recipe, root):
    """The same training as in a textbook: torch's SGD, and masks that are multiplied in."""
    dataset = data.load("Digits", root)
    images = setup.training_images(recipe, dataset, torch.device("cpu"))
    model = setup.initial_network(recipe, dataset, torch.device("cpu"))
    batch, labels = setup.scoring_images(recipe, dataset, images).load(0, 16)
    F.cross_entropy(model.eval()(batch), labels).backward()
    masks = masking.keep_top(snip_scores(model), recipe.density)
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay
    )
    losses, step = [], 0
    for epoch in range(recipe.epochs):
        order, augmentation = epoch_plan(
            len(images), recipe.seed, epoch, setup.augments(recipe, dataset)
        )
        batches, total = order.split(recipe.batch_size), 0.0
        for indices in batches:
            with torch.no_grad():
                for name, mask in masks.items():
                    model.get_parameter(name).mul_(mask)
            optimizer.param_groups[0]["lr"] = lr_at(recipe, step, len(batches))
            x, y = images.batch(indices, augmentation)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y, label_smoothing=recipe.label_smoothing)
            loss.backward()
            optimizer.step()
            total, step = total + loss.item() * len(y), step + 1
        losses.append(total / len(images))
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    return model, losses


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.2},
        {"schedule": "cosine", "augment": True},
        {"schedule": "onecycle", "momentum": 0.0},
        {"step": 1, "weight_decay": 0.05},
    ],
    ids=str,
)
def test_it_is_the_loop_that_everyone_writes(digits, changes):
    recipe = small(epochs=3, **changes)
    training, events = trained(recipe, digits)
    model, losses = plain_loop(recipe, digits)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(training.result()["model"][name], tensor, rtol=1e-3, atol=1e-5)
    assert [e.train_loss for e in events if isinstance(e, EpochEnd)] == pytest.approx(
        losses, rel=1e-4
    )


def test_a_seed_decides_everything(digits, toy):
    """Also what dropout draws, whatever the state of the global generator was."""
    first, _ = trained(small(), digits)
    torch.manual_seed(12345)
    again, _ = trained(small(), digits)
    assert_same(first.result(), again.result())
    other, _ = trained(small(seed=1), digits)
    assert not torch.equal(first.result()["model"]["0.weight"], other.result()["model"]["0.weight"])


def test_the_best_and_the_last_epoch_are_kept(digits):
    training = TrainJob(small(epochs=6, lr=0.2), digits)
    states = []
    for event in training.events():
        if isinstance(event, EpochEnd):
            states.append(
                (
                    event.test_accuracy,
                    {k: v.clone() for k, v in training.model.state_dict().items()},
                )
            )
        elif isinstance(event, Finished):
            summary = event.summary
    best = max(range(6), key=lambda epoch: states[epoch][0])  # the first among equals
    result = training.result()
    assert all(torch.equal(result["model"][name], tensor) for name, tensor in states[-1][1].items())
    assert all(
        torch.equal(result["best"][name], tensor) for name, tensor in states[best][1].items()
    )
    assert (summary.best_accuracy, summary.test_accuracy) == (states[best][0], states[-1][0])


@pytest.mark.parametrize(
    ("images", "batches"), [(33, 2), (34, 3), (32, 2), (17, 1), (2, 1), (5, 1)]
)
def test_a_last_batch_of_one_image_is_left_out(digits, toy, images, batches):
    """BatchNorm would refuse it."""
    _, events = trained(small(train_images=images, epochs=1, prune=None), digits)
    assert [(event.done, event.total) for event in steps(events)] == [
        (i + 1, batches) for i in range(batches)
    ]


def test_train_images_is_a_fixed_balanced_subset(digits):
    def labels_and_first(seed):
        training, events = trained(small(train_images=50, epochs=1, seed=seed), digits)
        assert "50 training images" in events[0].text
        return (
            training._loop.images.labels.bincount(minlength=10).tolist(),
            training._loop.images.batch(slice(0, 50))[0],
        )

    counts, images = labels_and_first(0)
    assert counts == [5] * 10
    assert torch.equal(images, labels_and_first(0)[1])
    assert not torch.equal(images, labels_and_first(1)[1])


def test_validation_images_are_never_trained_on(digits):
    """They are no training images, for any seed, and every epoch is measured on them."""
    training, events = trained(small(validation=300, train_images=None, epochs=1, seed=3), digits)
    labels = data.load("Digits", digits).train.labels
    rows, held_back_rows = hold_back(labels, 300, 3)
    images = data.load("Digits", digits).train.images
    assert "1,137 training images and 300 validation images" in events[0].text
    device = DeviceImages(
        ImageSet(images[rows], labels[rows]), training.dataset.mean, training.dataset.std, "cpu"
    )
    everything = training._loop.images.batch(slice(0, 2000))
    assert torch.equal(everything[0], device.batch(slice(0, 2000))[0])
    assert torch.equal(everything[1], device.batch(slice(0, 2000))[1])
    held_back = DeviceImages(
        ImageSet(images[held_back_rows], labels[held_back_rows]),
        training.dataset.mean,
        training.dataset.std,
        "cpu",
    )
    end = next(event for event in events if isinstance(event, EpochEnd))
    expected = evaluate(training.model, held_back)
    assert (end.validation_loss, end.validation_accuracy) == pytest.approx(expected)
    assert "validation loss" in str(end)
    assert summary_of(events).best_by == "validation"


def test_the_best_epoch_is_the_one_that_validation_images_choose(digits, monkeypatch):
    """The second of three epochs, although the first and the third are better on test images."""
    figures = iter([(1.0, 0.9), (1.0, 0.5), (1.0, 0.6), (1.0, 0.7), (1.0, 0.8), (1.0, 0.6)])
    monkeypatch.setattr("core.jobs.train.evaluate", lambda model, images: next(figures))
    training = TrainJob(small(epochs=3, validation=20), digits)
    states, events = [], []
    for event in training.events():
        events.append(event)
        if isinstance(event, EpochEnd):
            states.append({k: v.clone() for k, v in training.model.state_dict().items()})
    best = training.result()["best"]
    assert all(torch.equal(best[name], tensor) for name, tensor in states[1].items())
    summary = summary_of(events)
    assert (summary.test_accuracy, summary.best_accuracy) == (0.8, 0.6)
    assert (summary.best_by, summary.test_images, summary.classes) == ("validation", 360, 10)


def test_without_validation_images_the_test_images_choose(digits):
    assert summary_of(trained(small(epochs=1), digits)[1]).best_by == "test"


def test_scores_see_no_validation_images(digits):
    """The scoring batch is the first batch of the training, which has none."""
    dataset = data.load("Digits", digits)
    recipe = small(validation=1400, train_images=None, batch_size=37)
    device = torch.device("cpu")
    images = setup.training_images(recipe, dataset, device)
    scoring = setup.scoring_images(recipe, dataset, images)
    rows, _ = hold_back(dataset.train.labels, 1400, recipe.seed)
    assert scoring.available == len(images) == len(rows) == 37


def test_too_many_validation_images_are_refused(digits):
    with pytest.raises(UserError, match=r"^validation must be in \[0, 1435\], .* got 1436$"):
        trained(small(validation=1436), digits)


def test_more_train_images_than_there_are_is_all_of_them(digits):
    dataset = data.load("Digits", digits)
    assert len(
        setup.training_images(small(train_images=10**6), dataset, torch.device("cpu"))
    ) == len(dataset.train)


def test_the_figures_of_an_epoch(digits):
    training, events = trained(small(epochs=3, step=1, gamma=0.5), digits)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [(end.epoch, end.epochs) for end in ends] == [(1, 3), (2, 3), (3, 3)]
    assert [end.lr for end in ends] == pytest.approx([0.05, 0.025, 0.0125])
    for end in ends:
        assert 0 <= end.train_accuracy <= 1
        assert round(end.train_accuracy * 40, 6) == round(end.train_accuracy * 40)
        assert end.images_per_second == pytest.approx(40 / end.train_seconds)
        assert end.seconds >= end.train_seconds
    loss, accuracy = evaluate(training.model, setup.test_images(training.dataset, training.device))
    assert (ends[-1].test_loss, ends[-1].test_accuracy) == (loss, accuracy)
    summary = events[-1].summary
    assert isinstance(events[-1], Finished)
    assert summary.train_seconds == pytest.approx(sum(end.train_seconds for end in ends))
    assert summary.images_per_second == pytest.approx(120 / summary.train_seconds)
    assert (summary.epochs, summary.test_accuracy) == (3, ends[-1].test_accuracy)


def test_it_learns(digits):
    _, events = trained(
        small(epochs=12, train_images=600, batch_size=32, prune=Prune(density=0.3)), digits
    )
    # Guessing gets 0.1. Rounding alone moves this figure by some points.
    assert events[-1].summary.best_accuracy > 0.6


def test_a_loss_that_is_no_number_ends_in_a_sentence(digits):
    with pytest.raises(
        UserError, match=r"^Epoch \d+ of 10: the loss is NaN or infinite\. Lower the learning rate"
    ):
        trained(small(lr=100, epochs=10), digits)


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ({"model": "NoNet"}, "must be one of"),
        ({"dataset": "Folder/none"}, "must be one of .* got 'Folder/none'"),
        (
            {"model": "inception_v3"},
            "inception_v3 takes images of at least 75 x 75 pixels, got 32 x 32",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_trained_says_so(digits, recipe, sentence):
    with pytest.raises(UserError, match=sentence):
        trained(small(**recipe), digits)


# -- resume --


def saved_after(recipe, root, count):
    """The checkpoint of a run that stops after `count` events, and whether it had more events."""
    training = TrainJob(recipe, root)
    events = training.events()
    seen = [event for _, event in zip(range(count), events, strict=False)]
    events.close()
    state = training.checkpoint()
    if state is None:
        return None, len(seen) == count
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True), len(seen) == count


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augment": True, "schedule": "cosine"},
        pytest.param({"prune": None, "momentum": 0.0}, marks=pytest.mark.slow),
        pytest.param({"batch_size": 13}, marks=pytest.mark.slow),
        {"validation": 100},
    ],
    ids=str,
)
def test_resume_after_any_event_ends_in_the_same_bits(digits, toy, changes):
    recipe = small(**changes)
    whole, events = trained(recipe, digits)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    for count in range(len(events) + 1):
        checkpoint, _ = saved_after(recipe, digits, count)
        torch.manual_seed(count)  # another process has another state
        resumed = TrainJob(recipe, digits, checkpoint)
        rest = list(resumed.events())
        assert_same(whole.result(), resumed.result())
        tail = [event for event in rest if isinstance(event, EpochEnd)]
        for again, once in zip(tail, ends[len(ends) - len(tail) :], strict=True):
            for name in (
                "epoch",
                "train_loss",
                "train_accuracy",
                "test_loss",
                "test_accuracy",
                "lr",
            ):
                assert getattr(again, name) == getattr(once, name), (count, name)
        assert summary_of(rest).best_accuracy == summary_of(events).best_accuracy
        assert summary_of(rest).epochs == recipe.epochs


def test_a_run_that_is_stopped_after_every_step_gets_there_too(digits, toy):
    recipe = small(augment=True)
    whole, _ = trained(recipe, digits)
    training = TrainJob(recipe, digits)
    for _ in range(50):
        for event in training.events():
            if isinstance(event, Progress) and event.stage.startswith("Epoch"):
                break
        else:
            break
        checkpoint = training.checkpoint()
        torch.manual_seed(7)
        training = TrainJob(recipe, digits, checkpoint)
    assert isinstance(event, Finished)
    assert_same(whole.result(), training.result())


def test_there_is_no_checkpoint_before_the_first_step(digits):
    training = TrainJob(small(), digits)
    assert training.checkpoint() is None
    assert training.result() == {}
    for event in training.events():
        if isinstance(event, Progress) and event.stage.startswith("Epoch"):
            break
        assert training.checkpoint() is None
    checkpoint = training.checkpoint()
    assert checkpoint is not None
    assert checkpoint["position"][:2] == [1, 1]


def test_no_checkpoint_holds_a_nan(digits):
    training = TrainJob(small(), digits)
    for event in training.events():
        if isinstance(event, Progress) and event.stage.startswith("Epoch"):
            break
    assert training._loop is not None
    training._loop.stepper.loss_sum.fill_(float("nan"))
    with pytest.raises(UserError, match="the loss is NaN or infinite"):
        training.checkpoint()


# -- the precision of the steps --


def test_the_chosen_precision_is_said_recorded_and_kept(digits, toy, monkeypatch):
    def choose(recipe, model, images):
        yield Progress("Comparing float32 with bfloat16", 0, 0)
        return ChosenPrecision("bfloat16", "Training in bfloat16: 1.8 times as fast.")

    monkeypatch.setattr(train, "choose_precision", choose)
    whole, events = trained(small(epochs=1), digits)
    assert "Training in bfloat16: 1.8 times as fast." in map(str, events)
    assert summary_of(events).precision == "bfloat16"
    assert whole.card().recipes[0]["precision"] == "bfloat16"

    checkpoint, _ = saved_after(small(epochs=1), digits, len(events) - 3)
    monkeypatch.setattr(train, "choose_precision", None)  # a resumed run does not choose again
    resumed = TrainJob(small(epochs=1), digits, checkpoint)
    assert summary_of(list(resumed.events())).precision == "bfloat16"
    assert_same(whole.result(), resumed.result())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_requested_precision_is_the_one_that_trains(digits, toy, precision):
    training, events = trained(small(epochs=1, precision=precision), digits)
    assert f"Training in {precision}, as requested." in map(str, events)
    assert training._loop.stepper.precision == precision
    again, _ = trained(small(epochs=1, precision=precision), digits)
    assert_same(training.result(), again.result())
