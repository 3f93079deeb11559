"""Describes the tensors of a state dict: their shapes, and their roles in their layers."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from core.models import build_on_meta

COUNTER = "num_batches_tracked"
"""BatchNorm's counter. Old files lack it, and no evaluation needs it."""

_FLOATING_BUFFERS = ("running_mean", "running_var", "relative_coords_table")
"""Endings of the names of floating tensors that are no parameters."""

_ROLE = re.compile(rf"(.*?)[._]?(weight|bias|running_mean|running_var|{COUNTER})", re.DOTALL)


@dataclass(frozen=True)
class TensorSpec:
    """The shape of a tensor, and whether its values are floating-point numbers."""

    shape: tuple[int, ...]
    floating: bool = True

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        shape = " × ".join(str(length) for length in self.shape) or "a single number"
        return shape if self.floating else f"{shape} of whole numbers"


@lru_cache(maxsize=128)
def network_tensors(model: str, num_classes: int) -> Mapping[str, TensorSpec]:
    """Return the tensors of a network's state dict by name, in its order."""
    return tensor_specs(build_on_meta(model, num_classes).state_dict())


def layer_and_role(name: str) -> tuple[str, str]:
    """Split a name such as "bn1.weight" into layer and role; the role may be ""."""
    match = _ROLE.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")


def tensor_specs(state: Mapping[str, Tensor]) -> dict[str, TensorSpec]:
    """Return the shape and type of each tensor by name."""
    return {name: tensor_spec(tensor) for name, tensor in state.items()}


def tensor_spec(tensor: Tensor) -> TensorSpec:
    """Return the shape and type of a tensor."""
    return TensorSpec(tuple(tensor.shape), tensor.is_floating_point())


def count_trained_values(specs: Mapping[str, TensorSpec]) -> int:
    """Count the values of all tensors that training changes by gradients, judged by their names."""
    return sum(
        spec.size
        for name, spec in specs.items()
        if spec.floating and not name.endswith(_FLOATING_BUFFERS)
    )
