"""The first screen where people must log in, and the menu by which they log out."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core.errors import UserError
from core.runs.access.access import READ_ONLY
from pages.parts.server import login
from pages.parts.shared.words import plain

_Pages = dict[str, list[StreamlitPage]]


def is_let_in() -> bool:
    """Whether the one who opened the page may use the app."""
    try:
        login.check_setup()
        login.access()
    except UserError:
        return False
    return True


def entrance_pages(pages: _Pages) -> list[StreamlitPage]:
    """Return the login screen under the address of every page, for whoever follows a link."""
    paths = [page.url_path for group in pages.values() for page in group if page.url_path]
    below = [st.Page(draw_entrance, title="Log in", url_path=path) for path in paths]
    return [st.Page(draw_entrance, title="Log in", default=True), *below]


def draw_entrance() -> None:
    """Draw the login, or why nobody or not this person can use the app."""
    with st.container(horizontal_alignment="center", key="entrance"):
        st.title("Secateur", width="content", anchor=False)
        st.caption("Compress image classifiers, and see what it costs.", width="content")
        try:
            login.check_setup()
            if login.person() is None:
                _draw_login_buttons()
            else:
                login.access()
        except UserError as error:
            st.error(plain(str(error)), icon=":material/lock:", width=560)
            if st.user.get("is_logged_in"):
                st.button("Log out", icon=":material/logout:", on_click=st.logout, key="log_out")


def _draw_login_buttons() -> None:
    names = login.providers()
    for name in names:
        label = "Log in" if len(names) == 1 else f"Log in with {name.capitalize()}"
        if st.button(label, icon=":material/login:", type="primary", key=f"log_in_{name}"):
            st.login(None if name == "default" else name)


def account_menu() -> _Pages:
    """Return the menu of the one who is logged in; none without a login."""
    visitor = login.person() if login.has_login() else None
    if visitor is None:
        return {}
    page = st.Page(_log_out, title="Log out", icon=":material/logout:", url_path="log_out")
    return {plain(visitor.name): [page]}


def _log_out() -> None:
    st.markdown("You are being logged out.")
    st.logout()


def draw_read_only() -> None:
    """Say on every page that nothing can be changed, if that is so."""
    if login.rules().read_only:
        st.info(READ_ONLY, icon=":material/lock:")
