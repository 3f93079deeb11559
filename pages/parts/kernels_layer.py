"""One layer of one or two models: its pictures, their colour bars, the numbers, and files to keep."""

from functools import partial

import streamlit as st

from core.runs.run import Run
from pages.parts.kernels_pictures import Look, Picture, Side, download, pictures
from pages.parts.states import plain, span

_TALLEST = 720  # pixels on the screen; of a tall matrix one sees the whole
_WIDEST, _BAR = 1200, 300  # pixels of a picture at most, and of a colour bar at least


def show(runs: list[Run], sides: list[Side | None], look: Look) -> None:
    """Draw the layer of each run, None for a run that has none."""
    present = [(run, side) for run, side in zip(runs, sides, strict=True) if side]
    found = iter(pictures(tuple(side for _, side in present), look))
    shown = [side and next(found) for side in sides]
    *places, beside = st.columns([2, 1] if len(runs) == 1 else 2, gap="large") + ([st] if len(runs) == 2 else [])
    for place, run, side, picture in zip(places, runs, sides, shown, strict=True):
        with place.container(key=f"side_{places.index(place)}"):
            _side(run, side, picture, alone=len(runs) == 1)
    with beside.container(key="beside"):
        _numbers([run for run, _ in present], [picture for picture in shown if picture])
        _downloads(present, look)


def _side(run: Run, side: Side | None, picture: Picture | None, alone: bool) -> None:
    if not alone:
        st.markdown(f"**{plain(run.name)}**" + (f" · {plain(side[2].removesuffix('.weight'))}" if side else ""))
    if picture is None:
        st.info(f"{plain(run.name)} has no such layer.", icon=":material/block:")
        return
    width = min(round(picture.width * _TALLEST / picture.height), _WIDEST)
    st.image(picture.png, output_format="PNG", width=width, alt=described(run.name, side[2], picture))
    _bar(picture, max(width, _BAR))


def _bar(picture: Picture, width: int) -> None:
    from core.charts import scales  # brings altair

    if picture.view == "rgb":
        end = f"{picture.scale.high:.3g}"
        st.caption(f"Red, green and blue are the weights of the three input channels: grey is 0, dark −{end}, "
                   f"bright {end}." if picture.scale.low else "A colour is an input channel that was kept; black is "
                   "pruned in all three, white kept in all.")
        return
    st.altair_chart(scales.bar(picture.scale, picture.label), width=width, alt=(
        f"Colour bar: {picture.label}, from {picture.scale.low:.3g} to {picture.scale.high:.3g}"))


def described(name: str, layer: str, picture: Picture) -> str:
    """The picture in a sentence, for who cannot see it."""
    numbers = picture.numbers
    what = "a matrix" if picture.view == "matrix" else f"{picture.tiles} kernels"
    return (f"{layer} of {name}: {what} ({picture.label}) of shape {numbers.size}, weights from "
            f"{span(numbers.low, numbers.high)}, "
            f"{numbers.zeros / numbers.weights:.1%} of them zero.")


def _numbers(runs: list[Run], shown: list[Picture]) -> None:
    names = [plain(run.name) for run in runs] if len(runs) > 1 else ["This layer"]
    rows = {"Shape": [picture.numbers.size for picture in shown],
            "Weights": [f"{picture.numbers.weights:,}" for picture in shown],
            "Zeros": [f"{picture.numbers.zeros:,} ({picture.numbers.zeros / picture.numbers.weights:.1%})"
                      for picture in shown],
            "Range": [span(picture.numbers.low, picture.numbers.high) for picture in shown],
            "Different values": [_different(picture) for picture in shown],
            "Outputs all zero": [f"{picture.empty} of {picture.numbers.shape[0]}" for picture in shown]}
    if any(picture.numbers.broken for picture in shown):
        rows["Not a number"] = [f"{picture.numbers.broken:,}" for picture in shown]
    st.markdown("\n".join([f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names),
                           *(f"| {name} | {' | '.join(values)} |" for name, values in rows.items())]))
    st.caption(_legend(shown))


def _different(picture: Picture) -> str:
    return "more than 256" if picture.numbers.different is None else f"{picture.numbers.different}"


def _legend(shown: list[Picture]) -> str:
    """How to read the picture."""
    words = []
    if any(picture.view == "matrix" for picture in shown):
        words.append("A matrix has a row for each output and a column for each input.")
        words += [f"It is large: {rows} × {columns} weights are averaged into one." for rows, columns in
                  {picture.averaged for picture in shown} - {(1, 1)}]
    if any(picture.view != "matrix" for picture in shown):
        words.append("Each tile is an output channel, the first at the top left, row by row.")
    if any(picture.empty and picture.view != "matrix" for picture in shown):
        words.append("A frame marks a channel of which every weight is zero.")
    if len(shown) == 2 and shown[0].scale == shown[1].scale:
        words.append("Both pictures have the same scale.")
    return " ".join(words)


def _downloads(present: list[tuple[Run, Side]], look: Look) -> None:
    sides, names = tuple(side for _, side in present), [run.name for run, _ in present]
    with st.container(horizontal=True, key="downloads"):
        for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            st.download_button(f"{kind.upper()}", partial(download, sides, look, names, kind), key=kind, mime=mime,
                               file_name=f"{sides[0][2]}.{kind}", on_click="ignore", icon=":material/download:",
                               help="The picture as a figure, with its titles, channel numbers and colour bar.")
