"""The colours of the theme can be read: their contrast, computed from the configuration."""

import tomllib
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / ".streamlit" / "config.toml"
THEME = tomllib.loads(CONFIG.read_text())["theme"]
READABLE = 4.5  # the least contrast of a text, by WCAG 2
TINT = 0.9  # what Streamlit takes from the opacity of the main colour behind a chosen segment
WHITE = (255.0, 255.0, 255.0)


def parse(text):
    """Return red, green and blue of 0 to 255, and the opacity of 0 to 1."""
    numbers = bytes.fromhex(text.removeprefix("#"))
    opacity = numbers[3] / 255 if len(numbers) == 4 else 1.0
    return tuple(map(float, numbers[:3])), opacity


def lay(colour, opacity, below):
    """Return the colour that is seen where `colour` lies over `below`."""
    mixed = [
        opacity * top + (1 - opacity) * bottom for top, bottom in zip(colour, below, strict=True)
    ]
    return tuple(round(value) for value in mixed)


def luminance(colour):
    shares = [value / 255 for value in colour]
    red, green, blue = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast(WHITE, (0, 0, 0)) == pytest.approx(21)
    assert contrast(WHITE, parse("#767676")[0]) == pytest.approx(4.54, abs=0.005)


@pytest.fixture(params=["light", "dark"])
def theme(request):
    return THEME[request.param]


def test_a_main_button_can_be_read(theme):
    page, _ = parse(theme["backgroundColor"])
    main, opacity = parse(theme["primaryColor"])
    button = lay(main, opacity, page)
    assert contrast(WHITE, button) >= READABLE


def test_a_chosen_segment_can_be_read(theme):
    page, _ = parse(theme["backgroundColor"])
    main, opacity = parse(theme["primaryColor"])
    segment = lay(main, max(0.0, opacity - TINT), page)
    assert contrast(lay(main, opacity, segment), segment) >= READABLE


@pytest.mark.parametrize("behind", ["backgroundColor", "secondaryBackgroundColor"])
@pytest.mark.parametrize("text", ["textColor", "linkColor", "grayColor", "redColor"])
def test_a_text_can_be_read(theme, text, behind):
    assert contrast(parse(theme[text])[0], parse(theme[behind])[0]) >= READABLE
