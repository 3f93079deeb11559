"""Draws charts as SVG that needs no script, no font and no other file.

The SVG has the light theme's colours. Rules of the style sheet replace them on a dark screen.
"""

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.report.format.markup import Markup, Node, element

if TYPE_CHECKING:
    import altair as alt

LIGHT_COLOURS = ("#2b6cb0", "#d9731a", "#3a8a5f", "#8a5aa8", "#b83232", "#8a6d3b", "#6b766f")
"""The colours of categories in the app's light theme."""

DARK_COLOURS = ("#6aa8e8", "#f0954a", "#5fb787", "#bb93d6", "#ee7b7b", "#c9ab72", "#93a098")
"""The colours of categories in the app's dark theme, in the same order."""

MISSING_CONVERTER = (
    "A report draws its charts with vl-convert-python, which is not installed: install it with"
    " `pip install -r requirements.txt`."
)

WIDTH = 680
"""Pixels. On A4 with margins of 15 mm it is drawn at about its own size."""

_SEQUENTIAL = ("#b9dcc4", "#86bd99", "#4a9467", "#2f7a50", "#1f5c38")
"""From few to much, visible on a white page and on a black one."""

_TAG = re.compile(r"<[^>]*>")
_SUPERFLUOUS = re.compile(r' (xmlns(:\w+)?|aria-\w+|role|class|pointer-events)="[^"]*"')
_REFERENCE = re.compile(r' id="|url\(#|href="#')

_TEXT: dict[str, Any] = {"labelColor": "currentColor", "titleColor": "currentColor"}
_CONFIG: dict[str, Any] = {
    "aria": False,  # it would describe every mark; the figure has one description
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "title": {"color": "currentColor", "anchor": "start", "fontSize": 13, "fontWeight": 600},
    "axis": {
        **_TEXT,
        "titleFontWeight": 400,
        "gridColor": "#8a938d",
        "gridOpacity": 0.25,
        "domainColor": "#8a938d",
        "tickColor": "#8a938d",
    },
    "legend": {**_TEXT, "titleFontWeight": 400},
    "range": {
        "category": list(LIGHT_COLOURS),
        "ramp": list(_SEQUENTIAL),
        "heatmap": list(_SEQUENTIAL),
    },
}


def dark_rules() -> Markup:
    """Return the rules of a style sheet that give charts the dark theme's colours on dark screens.

    Paper stays light.
    """
    rules = [
        f'svg [{name}="{light}"] {{ {name}: {dark}; }}'
        for light, dark in zip(LIGHT_COLOURS, DARK_COLOURS, strict=True)
        for name in ("fill", "stroke")
    ]
    lines = ["@media screen and (prefers-color-scheme: dark) {", *rules, "}", ""]
    return Markup("\n".join(lines))


def can_draw() -> bool:
    """Whether charts can be drawn as SVG here."""
    return find_spec("vl_convert") is not None


def require_drawing() -> None:
    """Raise UserError, with what to install, if charts cannot be drawn as SVG."""
    if not can_draw():
        raise UserError(MISSING_CONVERTER)


def figure(chart: "alt.TopLevelMixin", name: str, description: str, *caption: Node) -> Markup:
    """Return a chart as a figure.

    name: unique in the document, in letters and "-". description: what the chart shows, for people
    who do not see it. Raises UserError as `require_drawing` does.
    """
    drawing = element("div", _svg(chart, name, description), class_="drawing")
    return element("figure", drawing, element("figcaption", *caption))


def _svg(chart: "alt.TopLevelMixin", name: str, description: str) -> Markup:
    require_drawing()
    import vl_convert

    spec = chart.to_dict()
    spec |= {"width": WIDTH, "autosize": {"type": "fit", "contains": "padding"}}
    svg = vl_convert.vegalite_to_svg(spec, config=_CONFIG, allowed_base_urls=[])
    return _inline(svg, name, description)


def _inline(svg: str, name: str, description: str) -> Markup:
    """Return an SVG file as an element of an HTML page.

    Its ids get the name of the chart, because those of two charts would be equal. Namespaces and
    roles of its parts are left out: HTML needs none of them.
    """

    def inline_tag(match: re.Match[str]) -> str:
        tag = _SUPERFLUOUS.sub("", match[0])
        return _REFERENCE.sub(rf"\g<0>{name}-", tag)

    drawing = _TAG.sub(inline_tag, svg)
    content = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
    size = re.search(r'viewBox="([^"]*)"', drawing)
    box = size[1] if size else f"0 0 {WIDTH} {WIDTH}"
    return element(
        "svg",
        Markup(content),
        viewBox=box,
        preserveAspectRatio="xMinYMin meet",
        role="img",
        aria_label=description,
    )
