"""The choice of the class and of the convolution that Grad-CAM explains."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.address import address_selectbox

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison
    from core.inspect.behaviour.class_maps import MapSize

_PREDICTED = "(predicted)"
_LAST = "(last)"


def class_indices(classes: Sequence[str]) -> dict[str, int]:
    """Return the index of each class by its name.

    A name that an earlier class has already, as "crane" in ImageNet, gets its index.
    """
    indices: dict[str, int] = {}
    for index, name in enumerate(classes):
        indices[f"{name} ({index})" if name in indices else name] = index
    return indices


def choose_class(networks: list[InspectedNetwork], comparison: "ActivationComparison") -> str:
    """Draw the choice among the classes of all networks, and return a name in `class_indices`.

    At first it is the class that the first network predicts, also for the next picture.
    """
    by_network = [list(class_indices(network.card.classes)) for network in networks]
    predicted = by_network[0][int(comparison.passes[0].probabilities.argmax())]
    options = [_PREDICTED, *dict.fromkeys(name for names in by_network for name in names)]
    predictor = "A predicts" if len(networks) > 1 else "is predicted"

    def label(option: str) -> str:
        return f"{predicted}, which {predictor}" if option == _PREDICTED else option

    chosen = address_selectbox(
        "Class",
        "gradcam_class",
        options,
        what="class",
        format_func=label,
        help="The class whose logit is explained, the same for all networks.",
        width=230,
    )
    return predicted if chosen == _PREDICTED else chosen


def choose_layers(layers: "Sequence[Mapping[str, MapSize]]") -> list[str | None]:
    """Draw the choice of a convolution, and return its name in each network, None if it has none.

    layers: the convolutions of each network that Grad-CAM can draw. At first it is the last one of
    each.
    """
    last = [next(reversed(names), None) for names in map(list, layers)]
    options = [_LAST, *dict.fromkeys(name for names in layers for name in names)]
    last_names = " | ".join(dict.fromkeys(name for name in last if name is not None))

    def label(option: str) -> str:
        return f"the last, {last_names}" if option == _LAST else option

    chosen = address_selectbox(
        "Convolution",
        "gradcam_layer",
        options,
        what="convolution with a height and a width",
        format_func=label,
        help=(
            "The layer whose output is explained. Later layers see larger things, in fewer places."
            " Only convolutions are offered whose output has a height and a width."
        ),
        width=230,
    )
    if chosen == _LAST:
        return last
    return [chosen if chosen in names else None for names in layers]
