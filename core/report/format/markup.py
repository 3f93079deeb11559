"""Builds HTML from elements. All text is escaped, unless it is an element itself."""

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already, and is not escaped again."""


Node = str | Markup | None
"""What an element holds: text, which is escaped, or other elements. None is left out."""

_WITHOUT_END = frozenset({"br", "meta"})


def element(tag: str, *content: Node, **attributes: str) -> Markup:
    """Return an HTML element. Attributes that are Python's words end in "_", such as `class_`.

    In the names of attributes "_" stands for "-".
    """
    words = [tag]
    for name, value in attributes.items():
        words.append(f'{name.rstrip("_").replace("_", "-")}="{escape(value)}"')
    start = f"<{' '.join(words)}>"
    if tag in _WITHOUT_END:
        return Markup(start)
    return Markup(f"{start}{joined(content)}</{tag}>")


def joined(content: Iterable[Node]) -> Markup:
    """Return text and elements one after the other, with the text escaped."""
    parts = [part for part in content if part is not None]
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def bullet_list(items: Iterable[Node]) -> Markup:
    return element("ul", *(element("li", item) for item in items))


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Node]],
    numbers: Iterable[str] = (),
) -> Markup:
    """Return a table. The first cell of a row is its heading.

    columns: the headings of the columns. numbers: those of them whose cells are numbers, which are
    aligned at the right.
    """
    right = frozenset(numbers)
    classes = ["number" if column in right else "text" for column in columns]
    head = [
        element("th", column, scope="col", class_=name)
        for column, name in zip(columns, classes, strict=True)
    ]
    body = [_table_row(row, classes) for row in rows]
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *head)),
            element("tbody", *body),
        ),
        class_="wide",
    )


def _table_row(row: Sequence[Node], classes: Sequence[str]) -> Markup:
    first, *others = row
    cells = [element("th", first, scope="row", class_=classes[0])]
    for cell, name in zip(others, classes[1:], strict=True):
        cells.append(element("td", "—" if cell is None else cell, class_=name))
    return element("tr", *cells)


def facts(pairs: Iterable[tuple[str, Node]]) -> Markup:
    """Return pairs of a name and a value as a list of descriptions. A value of None is a dash."""
    entries = [
        element("div", element("dt", name), element("dd", "—" if value is None else value))
        for name, value in pairs
    ]
    return element("dl", *entries, class_="facts")
