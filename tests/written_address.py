"""Reads the address that a page writes, without a browser."""

import json

from streamlit.testing.v1 import AppTest


def written_address(app: AppTest) -> dict[str, str]:
    """Return the settings that the page puts into its address, by name."""
    (component,) = (
        element.proto
        for element in app.get("bidi_component")
        if element.proto.component_name == "secateur_address"
    )
    settings = json.loads(component.json)["settings"]
    return {name: text for name, text in settings.items() if text is not None}
