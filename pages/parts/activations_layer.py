"""One layer in full: its mosaics, and one of its channels with its kernel and its numbers."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.inspect import figures
from pages.parts import activations_layers, activations_table
from pages.parts.activations_sources import Subject
from pages.parts.image_input import Picture
from pages.parts.states import span

if TYPE_CHECKING:
    from core.inspect.beside import Beside, Row

LAYOUT = {1: (900, 2.0), 2: (640, 1.25), 3: (460, 1.0), 5: (300, 1.0)}  # as in activations_layers, larger
ENLARGED = 300  # pixels


def show(subjects: list[Subject], picture: Picture, seen: "Beside", by: str, root: Path) -> None:
    """Draw the choice of a layer, and the layer."""
    if not seen.rows:
        st.info("This network has no ReLU.", icon=":material/blur_off:")
        return
    row = _choice(seen)
    activations_layers.legend(seen)
    names = activations_layers.titles(len(subjects), len(seen.changes))
    width, aspect = LAYOUT[len(names)]
    shown = [*seen.channels(row, by, width, aspect), *seen.differences(row, by, width, aspect)]
    for place, name, words, mosaic in zip(st.columns(len(names)), names, activations_layers.said(row, seen), shown,
                                          strict=True):
        if mosaic is None:
            place.caption("No more ReLUs.")
            continue
        scale = span(mosaic.scale.low, mosaic.scale.high)
        place.image(mosaic.png(), width="stretch", alt=f"The channels of {name}: {words}",
                    caption=" · ".join(filter(None, [name and f"**{name}**", scale, words])))
    lines = figures.by_channel(seen, row, activations_table.batches(subjects, root))
    _channel(subjects, seen, row, lines, seen.order(row, by)[0])


def _choice(seen: "Beside") -> "Row":
    labels = [" | ".join(dict.fromkeys(key for key in row if key)) for row in seen.rows]
    if not st.session_state.get("layer", 0) < len(labels):
        st.session_state["layer"] = 0
    number = st.selectbox("Layer", range(len(labels)), key="layer", format_func=lambda index: labels[index], width=320,
                          help="Every call of a ReLU, in the order of the calls.")
    return seen.rows[number]


def _channel(subjects: list[Subject], seen: "Beside", row: "Row", lines: list[dict], order) -> None:
    st.subheader("One channel", anchor=False)
    if not 0 <= st.session_state.get("channel", -1) < len(lines):
        st.session_state["channel"] = 0 if order is None else int(order[0])
    channel = st.number_input("Channel", 0, len(lines) - 1, step=1, key="channel", width=160,
                              help="By its number, or click a line of the table below.")
    _enlarged(seen, row, channel)
    activations_table.table([lines[channel]], key="numbers", alt=f"The figures of channel {channel}")
    _kernels(subjects, seen, row, channel)
    st.markdown("All channels of this layer")
    activations_table.table(lines, key="channels", alt="The figures of every channel", on_select=_clicked,
                            selection_mode="single-row", height=320)


def _clicked() -> None:
    if rows := st.session_state["channels"]["selection"]["rows"]:
        st.session_state["channel"] = rows[0]


def _enlarged(seen: "Beside", row: "Row", channel: int) -> None:
    """The channel in every network, and the differences."""
    from core.inspect.mosaic import mosaic

    names = activations_layers.titles(len(row), len(seen.changes))
    whole = [*seen.channels(row, "channel"), *seen.differences(row, "channel")]
    maps = seen.maps(row)
    maps += [other - maps[0] for other in maps[1:]] if seen.changes else []
    with st.container(horizontal=True, key="enlarged"):
        for name, all_maps, shown in zip(names, maps, whole, strict=True):
            if all_maps is None or channel >= len(all_maps):
                continue
            values = all_maps[channel]
            if values.ndim == 0:
                st.metric(f"{name} channel {channel}".strip(), f"{float(values):.4g}", border=True)
                continue
            one = mosaic(values[None], shown.scale, gap=0, tile=ENLARGED)
            st.image(one.png(), width=ENLARGED, alt=f"Channel {channel}, {name}", caption=" · ".join(filter(None, [
                name and f"**{name}**", f"channel {channel}", span(values.min(), values.max()),
                f"mean {values.mean():.3g}".replace("-", "−")])))


def _kernels(subjects: list[Subject], seen: "Beside", row: "Row", channel: int) -> None:
    """The weights that this channel is computed with."""
    from core.inspect.mosaic import Scale, mosaic, tile_for

    networks = [subject.network() for subject in subjects]
    found = [(name, weight, network.get_parameter(weight)[channel].detach().float().numpy())
             for name, network, look, key in zip(figures.letters(len(row)), networks, seen.looks, row, strict=True)
             for weight in look.weights.get(key, ()) if channel < len(network.get_parameter(weight))]
    if not found:
        st.caption("No single kernel makes this channel: several layers' channels were put together before this ReLU.")
        return
    scale = Scale.diverging(*(kernel for _, _, kernel in found))
    with st.container(horizontal=True, key="kernels"):
        for name, weight, kernel in found:
            shape = " × ".join(map(str, kernel.shape[1:]))
            share = (kernel == 0).mean()
            shown = mosaic(kernel, scale, tile=tile_for(kernel, ENLARGED))
            st.image(shown.png(), width=ENLARGED, alt=f"The kernel of channel {channel}, {name}",
                     caption=" · ".join(filter(None, [
                         name and f"**{name}**", f"`{weight}[{channel}]`",
                         f"{len(kernel)} inputs" + (f" of {shape}" if shape else ""),
                         span(kernel.min(), kernel.max()), share > 0 and f"{share:.0%} zeros"])))
