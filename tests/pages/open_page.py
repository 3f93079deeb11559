"""Opens a page of the app in a test, and reads what it shows."""

from pathlib import Path

ENTRY = Path(__file__).parents[2] / "streamlit_app.py"


def open_page(app, page, **params):
    """Open the page with this address, from the page that the app shows now."""
    app.run()
    for name, value in params.items():
        app.query_params[name] = value
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def shown_code(app):
    """The first block of code: the command that does the same."""
    return app.code[0].value


def texts(app):
    """All sentences of the page."""
    kinds = ("markdown", "caption", "success", "error", "warning", "info")
    return " ".join(element.value for kind in kinds for element in app.get(kind))


def figures(app):
    """Value and difference of each metric by its label."""
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}
