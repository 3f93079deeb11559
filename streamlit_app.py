"""The entry of the app, which every page shares. `streamlit run streamlit_app.py` opens it."""

import os

import streamlit as st

# Idle threads of a preview sleep, because the browser needs the same cores. Workers do the same.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

st.session_state["entered"] = True  # pages.parts.shared.shell.guard reads it
page = st.navigation(
    [
        st.Page("pages/home.py", title="Home", icon=":material/potted_plant:", default=True),
        st.Page("pages/train.py", title="Train", icon=":material/content_cut:"),
        st.Page("pages/quantize.py", title="Quantize", icon=":material/grain:"),
        st.Page("pages/activations.py", title="Activations", icon=":material/blur_on:"),
        st.Page("pages/kernels.py", title="Kernels", icon=":material/grid_view:"),
        st.Page("pages/weights.py", title="Weights", icon=":material/ssid_chart:"),
        st.Page("pages/runs.py", title="Runs", icon=":material/list_alt:"),
    ],
    position="top",
)
st.set_page_config(
    page_title=f"{page.title} · Secateur", page_icon=":material/content_cut:", layout="wide"
)
page.run()
