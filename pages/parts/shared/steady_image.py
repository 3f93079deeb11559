"""A picture that never blinks when it changes, and whose tiles can be clicked.

`st.image` has no click, and shows nothing for a moment whenever its address changes. Here the
browser gets the picture itself, decodes it, and only then puts it into the place of the old one.
"""

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

if TYPE_CHECKING:
    from core.inspect.mosaic_grid import MosaicGrid

_HTML = '<div class="frame"><div class="mark" hidden></div></div>'

_CSS = """
.frame { position: relative; width: 100%; border-radius: 4px; line-height: 0; }
.frame img { width: 100%; height: auto; display: block; }
.frame[tabindex] { cursor: pointer; }
.frame:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
.mark {
  position: absolute; box-sizing: border-box; pointer-events: none;
  border: 2px solid #fff; outline: 2px solid var(--st-primary-color); border-radius: 2px;
}
"""

_JS = """
async function show(frame, data) {
  const image = frame.querySelector("img");
  if (image?.src === data.source) {
    frame.wanted = data.source;
    image.alt = data.alt;
    return;
  }
  frame.wanted = data.source;
  const next = new Image();
  next.alt = data.alt;
  next.src = data.source;
  await next.decode().catch(() => {});
  if (frame.wanted !== data.source) return;
  const old = frame.querySelector("img");
  if (old) old.replaceWith(next);
  else frame.prepend(next);
}

function mark(frame, grid, selected) {
  const box = frame.querySelector(".mark");
  const tile = grid ? grid.order.indexOf(selected) : -1;
  box.hidden = tile < 0;
  if (tile < 0) return;
  const rows = Math.ceil(grid.order.length / grid.columns);
  box.style.left = `${(tile % grid.columns) / grid.columns * 100}%`;
  box.style.top = `${Math.floor(tile / grid.columns) / rows * 100}%`;
  box.style.width = `${100 / grid.columns}%`;
  box.style.height = `${100 / rows}%`;
}

function channelAt(frame, grid, event) {
  const area = frame.getBoundingClientRect();
  const rows = Math.ceil(grid.order.length / grid.columns);
  const column = Math.floor((event.clientX - area.left) / area.width * grid.columns);
  const row = Math.floor((event.clientY - area.top) / area.height * rows);
  return grid.order[row * grid.columns + column];
}

const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: g => -g.columns,
                ArrowDown: g => g.columns };

export default function ({ data, parentElement, setTriggerValue }) {
  const frame = parentElement.querySelector(".frame");
  const { grid, selected } = data;
  show(frame, data);
  mark(frame, grid, selected);
  if (!grid) return;
  const choose = channel => {
    if (channel === undefined || channel === selected) return;
    mark(frame, grid, channel);
    setTriggerValue("tile", channel);
  };
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", `${data.alt}. Click a channel, or use the arrow keys.`);
  frame.onclick = event => choose(channelAt(frame, grid, event));
  frame.onmousemove = event => {
    const channel = channelAt(frame, grid, event);
    frame.title = channel === undefined ? "" : `channel ${channel}`;
  };
  frame.onkeydown = event => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    choose(grid.order[grid.order.indexOf(selected) + step(grid)]);
  };
}
"""

_component = st.components.v2.component("steady_image", html=_HTML, css=_CSS, js=_JS)


def draw_steady_image(
    png: bytes, *, alt: str, key: str, width: int | Literal["stretch"] = "stretch"
) -> None:
    """Draw a PNG file, `width` pixels wide. `alt` describes it for people who cannot see it."""
    _component(data={"source": _data_address(png), "alt": alt}, key=key, width=width)


def draw_clickable_tiles(
    png: bytes,
    grid: "MosaicGrid",
    selected: int,
    *,
    alt: str,
    key: str,
    on_choose: Callable[[int], None],
) -> None:
    """Draw a mosaic whose tiles can be clicked, or walked through by the arrow keys.

    selected: the channel of the tile that is marked. on_choose: is called with the channel of the
    tile that a person chooses.
    """
    data: dict[str, Any] = {
        "source": _data_address(png),
        "alt": alt,
        "grid": {"order": grid.order.tolist(), "columns": grid.columns},
        "selected": selected,
    }

    def choose() -> None:
        channel = st.session_state[key].get("tile")
        if channel is not None:
            on_choose(int(channel))

    _component(data=data, key=key, on_tile_change=choose)


def _data_address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
