"""The entry of the app, which every page shares. `streamlit run streamlit_app.py` opens it.

The server imports this file as a module, for `app`. Every run of a session then runs it as a
script, for the page.
"""

import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit.navigation.page import StreamlitPage

from pages.parts.server.entrance import account_menu, draw_read_only, entrance_pages, is_let_in
from pages.parts.shared.request_gate import RequestGate
from pages.parts.shared.warm_up import load_modules_in_background

# Idle threads of a preview sleep, because the browser needs the same cores. Workers do the same.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A file of ours, because the browser would fetch a Material icon from another server.
_ICON = Path(__file__).parent / ".streamlit" / "favicon.png"


def _pages() -> dict[str, list[StreamlitPage]]:
    """The pages by the menu in the navigation; Home has no menu."""
    return {
        "": [
            st.Page("pages/home.py", title="Home", icon=":material/potted_plant:", default=True),
            st.Page("pages/tour.py", title="Tour", icon=":material/tour:", visibility="hidden"),
        ],
        "Make": [
            st.Page("pages/train.py", title="Train", icon=":material/content_cut:"),
            st.Page("pages/prune.py", title="Prune", icon=":material/park:"),
            st.Page("pages/quantize.py", title="Quantize", icon=":material/grain:"),
            st.Page("pages/budget.py", title="Budget", icon=":material/savings:"),
            st.Page("pages/sweep.py", title="Sweep", icon=":material/stacked_line_chart:"),
        ],
        "Look": [
            st.Page("pages/weights.py", title="Weights", icon=":material/ssid_chart:"),
            st.Page("pages/kernels.py", title="Kernels", icon=":material/grid_view:"),
            st.Page("pages/activations.py", title="Activations", icon=":material/blur_on:"),
            st.Page("pages/answers.py", title="Answers", icon=":material/rule:"),
        ],
        "Decide": [
            st.Page("pages/runs.py", title="Runs", icon=":material/list_alt:"),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
            st.Page("pages/export.py", title="Export", icon=":material/ios_share:"),
        ],
    }


def show_page() -> None:
    """Show the page that the address names, below the navigation."""
    st.session_state["entered"] = True  # pages.parts.shared.shell.guard reads it
    if not is_let_in():  # without our icon, which is a file for those who are logged in
        st.navigation(entrance_pages(_pages()), position="hidden").run()
        return
    # Before the navigation, which would make the page's Material icon the icon of the tab.
    st.set_page_config(page_icon=str(_ICON), layout="wide")
    page = st.navigation(_pages() | account_menu(), position="top")
    st.set_page_config(page_title=f"{page.title} · Secateur")
    try:
        draw_read_only()
        page.run()
    finally:
        load_modules_in_background()


if __name__ == "streamlit_app":
    app = st.App(__file__, middleware=[Middleware(RequestGate)])
else:
    show_page()
