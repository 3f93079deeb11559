"""Tour: trains a network dense and pruned, quantizes it, and looks at what is left of it."""

import streamlit as st

from pages.parts.shared import shell
from pages.parts.shared.address import write_address
from pages.parts.tour.picture import draw_next_links, draw_picture_step
from pages.parts.tour.quantization import draw_quantization
from pages.parts.tour.runs import find_tour
from pages.parts.tour.steps import choose_step, draw_missing_step, draw_step_buttons
from pages.parts.tour.training import draw_trainings
from pages.parts.tour.weights import draw_weights

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()


def draw_step(step: int) -> bool:
    """Draw the step, and return whether the next one can be opened."""
    runs = find_tour(store)
    if step == 1:
        draw_trainings(store, root)
        return bool(runs.trained)
    if not runs.trained:
        draw_missing_step(1)
        return False
    if step == 2:
        draw_quantization(store, root)
        return bool(runs.models)
    if not runs.models:
        draw_missing_step(2)
        return False
    if step == 3:
        draw_weights(*runs.models[1:])
    else:
        draw_picture_step(runs.models, root)
        draw_next_links(runs.models, store, root)
    return True


st.title("Tour")
step = choose_step()
draw_step_buttons(step, draw_step(step))
write_address()
