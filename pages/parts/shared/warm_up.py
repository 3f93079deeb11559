"""Loads torch and what else the pages need, in the background, once a server process.

Loading takes seconds. It begins when the first page is painted, so that neither that page nor the
next one has to wait for it. A page that needs a module which is being loaded waits for the rest of
it: Python gives each module a lock.

Streamlit collects garbage after every rerun. The modules make 400,000 objects, which never become
garbage. So they are taken out of the collection, which otherwise holds all visitors for 0.2 s.
"""

import gc
import importlib
import threading

import streamlit as st

# In the order in which visitors need them. `torch` comes before its parts, because a part that is
# imported alone does not wait for the whole.
MODULES = (
    "torch",
    "altair",
    "core.commands.quantize",
    "core.models.networks",
    "core.compress.codec",
    "core.forecast.quantization",
    "core.forecast.sensitivity",
    "core.commands.train",
    "core.forecast.pruning",
    "core.charts.density",
    "core.inspect.weights.comparison",
    "core.inspect.weights.histogram",
    "core.charts.distributions",
    "core.inspect.kernels.pictures",
    "core.inspect.activations.tables",
    "core.inspect.activations.comparison",
    "core.inspect.activations.forward",
    "core.charts.predictions",
    "matplotlib.figure",
    "core.forecast.pace",
    "core.jobs.train",
    "scipy.stats",
    # ResNets need it. It imports torch._dynamo, as an optimizer does in its first step.
    "torchvision",
    "torch._dynamo",
)
_PAUSE = 0.5  # seconds that the browser has to paint the page


@st.cache_resource(show_spinner=False)
def load_modules_in_background() -> threading.Thread:
    """Start the thread that loads the modules, unless this server has started it already."""
    thread = threading.Thread(target=_load_modules, name="warm-up", daemon=True)
    thread.start()
    return thread


def _load_modules() -> None:
    threading.Event().wait(_PAUSE)
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception:  # the page that needs the module shows the error
            break
    gc.collect()
    gc.freeze()
