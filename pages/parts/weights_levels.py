"""The levels of a quantized layer: each value, and how many weights carry it."""

import streamlit as st

from core.inspect.levels import Levels
from pages.parts import weights_data
from pages.parts.states import plain
from pages.parts.weights_choice import Asked

KINDS = {"codebook": "{count} centroids", "grid": "a grid of {count} evenly spaced values",
         "channels": "a grid of {count} integers, which each output channel scales by itself",
         "values": "not quantized, but only {count} different values"}


def draw(asked: Asked) -> None:
    """Draw the levels of each model's layer, where there are any."""
    if not asked.layer:
        return
    found = [weights_data.levels(run, asked.layer) for run in asked.runs]
    if not any(found):
        return
    st.subheader("Levels", anchor=False)
    for place, (column, name, levels) in enumerate(zip(st.columns(len(found)), asked.names, found, strict=True)):
        with column:
            _draw(asked, name, levels, place)


def _draw(asked: Asked, name: str, levels: Levels | None, place: int) -> None:
    from core.charts import distributions

    if levels is None:
        st.markdown(f"**{plain(name)}** is not quantized here: its weights have more than 256 different values.")
        return
    pinned = f", and {levels.pinned:,} zeros beside them" if levels.pinned else ""
    unused = int((levels.counts == 0).sum())
    idle = f" {unused} carry no weight." if unused else ""
    st.markdown(f"**{plain(name)}**: {KINDS[levels.kind].format(count=len(levels.values))}{pinned}; "
                f"{levels.bits:.2f} bits a weight in the packed file.{idle}")
    if len(levels.values):
        st.altair_chart(distributions.codebook(levels, name, asked.names), key=f"levels_{place}",
                        alt=f"Weights on each of the {len(levels.values)} levels of {asked.layer} in {name}")
        rows = distributions.level_frame(levels)
        st.download_button("CSV", lambda: rows.to_csv(index=False).encode(), icon=":material/download:",
                           file_name=f"levels-{asked.runs[place].id}-{asked.layer}.csv", key=f"levels_{place}_csv",
                           on_click="ignore", width="content", help="Each level's value and how many weights carry it.")
