"""A network's weights and what one must know to use them, in one safetensors file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

_HEADER_LIMIT = 1 << 24  # bytes


class Facts(BaseModel):
    """What a reader of the weights needs to know.

    mean and std normalise pixels in [0, 1], one number a channel; side is the images' height and width in pixels.
    recipes is the chain that led here, the first ancestor's first, as plain data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    dataset: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    recipes: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class SavedModel:
    """Facts and the state dict, on the CPU in float32."""

    facts: Facts
    state: "dict[str, Tensor]"

    def network(self) -> "nn.Module":
        """The network with these weights, on the CPU, in evaluation mode. Raises UserError if they do not fit it."""
        from core.models import skeleton

        model = skeleton(self.facts.model, len(self.facts.classes))
        try:
            model.load_state_dict({name: tensor.clone() for name, tensor in self.state.items()}, assign=True)
        except RuntimeError as error:
            raise UserError(f"These weights do not fit {self.facts.model}: {str(error).splitlines()[-1].strip()}"
                            ) from error
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        return model.eval()


def pack(state: "Mapping[str, Tensor]", facts: Facts) -> bytes:
    """The content of a safetensors file with these tensors, whose header carries the facts."""
    from safetensors.torch import save

    return save({name: tensor.detach().contiguous().cpu() for name, tensor in state.items()},
                {"secateur": facts.model_dump_json()})


def read_facts(path: Path) -> Facts:
    """The facts in a file's header, without its tensors and without torch. Raises UserError, as `read` does."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _HEADER_LIMIT:
                raise ValueError("no header")
            return Facts.model_validate_json(json.loads(file.read(length))["__metadata__"]["secateur"])
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError, ValidationError) as error:
        raise UserError(f"{path} holds no network of Secateur's, or it is damaged.") from error


def read(path: Path) -> SavedModel:
    """The saved model at `path`. Raises UserError for one that is missing, damaged or from elsewhere."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    facts = read_facts(path)
    try:
        return SavedModel(facts, load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or gone ({error}).") from error
