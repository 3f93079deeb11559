"""The quantization levels of a layer, with the number of weights on each."""

import streamlit as st

from core.inspect.weights.levels import LayerLevels
from pages.parts.shared import words
from pages.parts.shared.words import plain
from pages.parts.weights.cached import levels_of_layer
from pages.parts.weights.choice import WeightsChoice

_KINDS = {
    "codebook": "{count}: centroids",
    "affine": "{count}: evenly spaced quantization levels",
    "affine per channel": "{count}: integer levels, and a scale for each output channel",
    "distinct values": "{count}: not quantized, but it has only so many different values",
}


def draw_levels(choice: WeightsChoice) -> None:
    """Draw the levels of the chosen layer in each model. Nothing is drawn if neither has any."""
    if not choice.layer:
        return
    levels_by_model = [levels_of_layer(run, choice.layer) for run in choice.runs]
    if not any(levels_by_model):
        return
    st.subheader("Levels", anchor=False)
    columns = st.columns(len(levels_by_model))
    for index, levels in enumerate(levels_by_model):
        with columns[index]:
            _draw_levels_of_model(choice, index, levels)


def _draw_levels_of_model(choice: WeightsChoice, index: int, levels: LayerLevels | None) -> None:
    name = choice.names[index]
    if levels is None:
        st.markdown(
            f"**{plain(name)}** is not quantized here: its weights have more than 256 different"
            " values."
        )
        return
    st.markdown(f"**{plain(name)}**: {_levels_in_words(levels)}")
    if len(levels.values):
        _draw_chart(choice, index, levels)
        _draw_download(choice, index, levels)


def _levels_in_words(levels: LayerLevels) -> str:
    kind = _KINDS[levels.kind].format(count=words.levels(levels.used, levels.extra_zeros))
    zeros = f", where {levels.extra_zeros:,} weights stay zero" if levels.extra_zeros else ""
    unused = len(levels.values) - levels.used
    unused_note = f" Levels without a weight: {unused}." if unused else ""
    bits = f"{levels.bits_per_weight:.2f} bits a weight in the packed file"
    return f"{kind}{zeros}; {bits}.{unused_note}"


def _draw_chart(choice: WeightsChoice, index: int, levels: LayerLevels) -> None:
    from core.charts import distributions

    name = choice.names[index]
    st.altair_chart(
        distributions.levels_chart(levels, name, choice.names),
        key=f"levels_{index}",
        alt=f"Weights on each of the {len(levels.values)} levels of {choice.layer} in {name}",
    )


def _draw_download(choice: WeightsChoice, index: int, levels: LayerLevels) -> None:
    from core.charts import distributions

    rows = distributions.levels_table(levels)
    st.download_button(
        "CSV",
        lambda: rows.to_csv(index=False).encode(),
        icon=":material/download:",
        file_name=f"levels-{choice.runs[index].id}-{choice.layer}.csv",
        key=f"levels_{index}_csv",
        on_click="ignore",
        width="content",
        help="A table with each level's value and the number of weights on it.",
    )
