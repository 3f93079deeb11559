"""The form of a training: every field of its recipe as a widget, whose value the address carries, too.

A widget's key is its field's name, so that a recipe fills the form and the form makes a recipe by the same names.
"""

from collections.abc import Container
from pathlib import Path
from typing import get_args

import streamlit as st

from core import data
from core.config import Prune, Schedule, TrainRecipe, validated
from core.errors import UserError
from core.models import MODELS, TORCHVISION
from core.runs.run import Run
from pages.parts import importing
from pages.parts.states import plain

START = TrainRecipe(model="LeNet5", dataset="Digits")  # works at once on any machine; else the original's defaults
PRESETS = {
    "Quick": (TrainRecipe(model="LeNet5", dataset="Digits", prune=Prune(density=0.1), epochs=20, batch_size=32, lr=0.05,
                          schedule="cosine"), "LeNet5 on Digits, 10% kept: seconds on any machine, no download."),
    "Laptop": (TrainRecipe(model="ResNet20", dataset="CIFAR10", prune=Prune(density=0.2), epochs=15,
                           train_images=10_000, schedule="onecycle"),
               "ResNet20 on 10,000 photographs of CIFAR10, 20% kept: minutes without a GPU."),
    "Original": (TrainRecipe(), "VGG16 on CIFAR10, 5% kept, 70 epochs, as in the original scripts: wants a GPU."),
}
FAMILIES = {"Secateur": (MODELS, START.model), "torchvision": (TORCHVISION, "resnet18")}  # and which comes first
DENSE = "dense"
METHODS = {"snip": "SNIP", "iterative-snip": "Iterative SNIP", "synflow": "SynFlow", "magnitude": "Magnitude",
           "random": "Random", DENSE: "None: a dense network"}
STEPS = [0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
PRUNE_KEYS = {"scorebatch": "batch_size", "scorebatches": "batches", "rounds": "rounds"}  # batch_size is there twice
HABIT = {"auto": None, "yes": True, "no": False}
DEVICES = ["auto", "cpu", "cuda", "mps"]


def fill(recipe: TrainRecipe) -> None:
    """Put a recipe into the form; to be called before its widgets are drawn, or in a callback."""
    prune = recipe.prune or Prune()
    values = recipe.model_dump(exclude={"kind", "prune", "augment"}) | {
        "method": prune.method if recipe.prune else DENSE, "density": prune.density, "layerwise": prune.layerwise,
        "augment": next(word for word, value in HABIT.items() if value is recipe.augment),
        **{key: getattr(prune, field) for key, field in PRUNE_KEYS.items()}}
    st.session_state.update(values)


def refill(run: Run) -> None:
    """Put a run's recipe into the form. Raises UserError for a run that is no training."""
    if not isinstance(run.recipe, TrainRecipe):
        raise UserError(f"“{run.name}” was not trained here, so there are no settings to take over.")
    fill(run.recipe)


def recipe() -> TrainRecipe:
    """The recipe that the widgets now describe. Raises UserError for what cannot be."""
    state = st.session_state
    prune = {"method": state["method"], "density": state["density"], "layerwise": state["layerwise"],
             **{field: state.get(key) for key, field in PRUNE_KEYS.items()}}
    values = {name: state.get(name) for name in TrainRecipe.model_fields if name not in ("kind", "prune", "augment")}
    return validated(TrainRecipe, values | {"augment": HABIT[state["augment"]],
                                            "prune": None if state["method"] == DENSE else prune})


def presets() -> None:
    """Draw the ready-made settings."""
    with st.container(horizontal=True, vertical_alignment="center", key="presets"):
        st.markdown("Start from", width="content")
        for name, (preset, text) in PRESETS.items():
            st.button(name, on_click=fill, args=(preset,), help=text, key=f"preset-{name}", width="content")


def network() -> None:
    """Draw the choice of the network, with what each costs."""
    _from_address("model", {**MODELS, **TORCHVISION}, START.model)
    st.session_state["family"] = _family(st.session_state["model"])
    st.segmented_control("Network", FAMILIES, key="family", required=True, on_change=_other_family,
                         help="Networks made for small images, or any classification network of torchvision.")
    models, _ = FAMILIES[st.session_state["family"]]
    st.selectbox("The network by its name", models, key="model", label_visibility="collapsed", persist_state="session",
                 format_func=lambda name: f"{name} · {short(models[name].parameters)} parameters · "
                                          f"{short(models[name].macs)} multiply-adds")
    _to_address("model")
    facts = models[st.session_state["model"]]
    size = f" Counted for {facts.classes:,} classes and {facts.side} × {facts.side} pixels." if facts.side != 32 else ""
    st.caption(f"{facts.description}{size}")


def dataset(root: Path) -> data.Choice:
    """Draw the choice of the data set and of importing one; the chosen one."""
    choices = {choice.name: choice for choice in data.available(root)}
    if new := st.session_state.pop("imported", None):
        st.session_state["dataset"] = new
    _from_address("dataset", choices, START.dataset)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Data set", choices, format_func=lambda name: f"{name} · {_where(choices[name])}", key="dataset",
                     help=_help("dataset"), persist_state="session")
        if st.button("Import …", icon=":material/add_photo_alternate:", key="import", width="content",
                     help="Your own images: a folder or a zip with one folder a class."):
            importing.dialog(root)
    _to_address("dataset")
    choice = choices[st.session_state["dataset"]]
    facts = choice.info
    part = st.session_state.get("train_images")
    some = f"{part:,} of " if part and part < facts.train_images else ""
    st.caption(f"{facts.description} {some}{facts.train_images:,} images to learn from and "
               f"{facts.test_images:,} to test on, {facts.classes} classes, {facts.side} × {facts.side} pixels.")
    return choice


def pruning() -> None:
    """Draw what to cut: method, density, and whether layers compete."""
    _from_address("method", METHODS, Prune().method)
    st.selectbox("Pruning", METHODS, format_func=METHODS.get, key="method", persist_state="session",
                 help=_help("method", Prune))
    _to_address("method")
    dense = st.session_state["method"] == DENSE
    st.session_state.setdefault("density", _number(st.query_params.get("density"), Prune().density))
    st.session_state["step_of_density"] = min(STEPS, key=lambda step: abs(step - st.session_state["density"]))
    slider, exact = st.columns([3, 1], vertical_alignment="bottom")
    slider.select_slider("Density: the share of weights that is kept", STEPS, disabled=dense,
                         format_func=lambda step: f"{100 * step:.3g}%", key="step_of_density",
                         on_change=lambda: st.session_state.update(density=st.session_state["step_of_density"]),
                         help=_help("density", Prune))
    exact.number_input("Exactly", 1e-6, 1.0, Prune().density, 0.01, format="%g", key="density", bind="query-params",
                       disabled=dense, help=_help("density", Prune))
    st.toggle("Layerwise: the same density in every layer", key="layerwise", bind="query-params", disabled=dense,
              help=_help("layerwise", Prune))


def training() -> None:
    """Draw how to train: the four settings that people change, and the others in an expander."""
    first, second, third = st.columns(3)
    _field(first, "epochs")
    _field(second, "batch_size", 32, label="Batch size")
    _field(third, "lr", 0.01, label="Learning rate")
    st.segmented_control("Schedule", get_args(Schedule), default="step", key="schedule", bind="query-params",
                         required=True, help=_help("schedule"))
    with st.expander("More settings", icon=":material/tune:"):
        stepwise = st.session_state["schedule"] == "step"
        left, right = st.columns(2)
        _field(left, "step", label="Epochs between drops", disabled=not stepwise)
        _field(right, "gamma", 0.1, label="Factor of a drop (gamma)", disabled=not stepwise)
        _field(left, "momentum", 0.05)
        _field(right, "weight_decay", 1e-4)
        _field(left, "label_smoothing", 0.05)
        _field(right, "train_images", 1000, label="Training images", placeholder="all")
        _field(left, "seed")
        right.selectbox("Device", DEVICES, key="device", bind="query-params", accept_new_options=True,
                        help=_help("device"))
        _field(left, "keep_every", label="Epochs between kept ones")
        _field(right, "keep_mb", 50, label="Most megabytes of kept epochs")
        st.segmented_control("Augmentation", list(HABIT), default="auto", key="augment", bind="query-params",
                             required=True, help=_help("augment"))
        st.markdown("Scoring")
        left, middle, right = st.columns(3)
        _field(left, "batch_size", 32, Prune, key="scorebatch", label="Batch size", placeholder="as above")
        _field(middle, "batches", 1, Prune, key="scorebatches", label="Batches")
        _field(right, "rounds", 10, Prune, label="Rounds", placeholder="usual",
               disabled=st.session_state["method"] not in ("iterative-snip", "synflow"))


def _field(place, name: str, step: float = 1, kind: type = TrainRecipe, *, key: str = "", label: str = "", **more
           ) -> None:
    """A number input for a field of a recipe, with its default, its bounds and its description."""
    field = kind.model_fields[name]
    whole = "int" in str(field.annotation)
    bounds = {bound: getattr(item, bound) for item in field.metadata for bound in ("ge", "gt", "le", "lt")
              if hasattr(item, bound)}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if whole:
        high = min(high, 2**53 - 1) if high else None  # what a browser counts to
    default, number = field.default, int if whole else float
    place.number_input(label or name.replace("_", " ").capitalize(), None if low is None else number(low),
                       None if high is None else number(high), default, number(step),
                       format=None if whole else "%g", key=key or name, bind="query-params",
                       help=field.description, **more)


def _help(name: str, kind: type = TrainRecipe) -> str:
    return kind.model_fields[name].description


def _from_address(key: str, options: Container[str], default: str) -> None:
    """A select box's first value. A bound one would put its label into the address instead of its value."""
    value = st.session_state.get(key, st.query_params.get(key, default))
    if value not in options:
        st.warning(f"{key} must be one of the list below, got {plain(repr(value))}.", icon=":material/search_off:")
    st.session_state[key] = value if value in options else default


def _to_address(key: str) -> None:
    if st.query_params.get(key) != st.session_state[key]:
        st.query_params[key] = st.session_state[key]


def _family(model: str) -> str:
    return "torchvision" if model in TORCHVISION else "Secateur"


def _other_family() -> None:
    st.session_state["model"] = FAMILIES[st.session_state["family"]][1]


def _where(choice: data.Choice) -> str:
    return {"ready": "ready", "bundled": "bundled", "on disk": "to unpack",
            "download": f"to download, {choice.info.download / 1e6:,.0f} MB"}[choice.state]


def short(number: int) -> str:
    """A number with three digits that count, such as 15.3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def _number(text: str | None, default: float) -> float:
    try:
        value = float(text or default)
    except ValueError:
        return default
    return value if 0 < value <= 1 else default
