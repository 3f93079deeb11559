"""Home: the tour, the newest runs, and the machine.

At first there are three ways to begin, and pictures of what the tour makes.
"""

import streamlit as st

from pages.parts.home.machine_facts import draw_machine
from pages.parts.home.recent_runs import draw_recent_runs
from pages.parts.home.tour_pictures import draw_tour_pictures
from pages.parts.home.welcome import draw_welcome
from pages.parts.shared import shell
from pages.parts.tour.start import draw_tour_button

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()

st.title("Secateur")
st.markdown(
    "An image classifier does not need most of its weights. SNIP finds those that it needs"
    " **before** training, from a single batch of images.  \nPick a network, see what would be cut,"
    " train what is left, and leave with the weights."
)
if store.list():
    buttons = st.container(horizontal=True, vertical_alignment="center")
    draw_tour_button(buttons, "Quick tour", store, root)
    buttons.page_link("pages/train.py", label="Set up a training", icon=":material/content_cut:")
    st.caption(
        "The tour trains LeNet5 dense and pruned, quantizes it, and shows what is left. It takes"
        " about a minute, downloads nothing, and continues where it was left."
    )
    st.subheader("Recent runs")
    draw_recent_runs(store)
else:
    draw_welcome(store, root)
    draw_tour_pictures()

st.subheader("This machine")
draw_machine()
