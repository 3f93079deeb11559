"""Draws a chart with a button that saves it as SVG, which Streamlit's own menu does not offer."""

from typing import Any

import streamlit as st

_SAVE_SVG = """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  button.onclick = () => {
    const svg = document.querySelector(`.st-key-${data.chart} svg.marks`)
    if (!svg) return
    const copy = svg.cloneNode(true)
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg")
    copy.style.background = getComputedStyle(document.querySelector(".stApp")).backgroundColor
    const file = new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" })
    const link = document.createElement("a")
    link.href = URL.createObjectURL(file)
    link.download = data.file
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  }
}
"""
_BUTTON = '<button type="button" title="Save this chart as an SVG file">Save as SVG</button>'
_STYLE = """
button {
  background: none; border: 1px solid var(--st-border-color); border-radius: 0.5rem;
  color: var(--st-text-color); cursor: pointer; font: inherit; font-size: 0.875rem;
  padding: 0.25rem 0.75rem;
}
button:hover, button:focus-visible {
  border-color: var(--st-primary-color); outline: none; color: var(--st-link-color);
}
"""

_svg_button = st.components.v2.component(
    "secateur_save_svg", html=_BUTTON, css=_STYLE, js=_SAVE_SVG
)


def draw_chart(chart: Any, name: str, alt: str, **more: Any) -> Any:
    """Draw the chart and the button below it, and return what `st.altair_chart` returns.

    name: of the file, and of the chart's key if `more` has none.
    """
    container = f"chart_{name}"
    with st.container(key=container):
        result = st.altair_chart(chart, alt=alt, **{"key": f"compare_{name}", **more})
    _svg_button(key=f"svg_{name}", data={"chart": container, "file": f"compare-{name}.svg"})
    return result
