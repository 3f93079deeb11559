"""Holds which channels of each layer stay, as plain data that can be saved beside the weights."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Index = Annotated[int, Field(ge=0)]
_Constant = Annotated[float, Field(allow_inf_nan=False)]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerPlan(_Plain):
    """The channels of one layer that stay.

    inputs, outputs: indices of the channels that stay, ascending. BatchNorm has outputs only. The
    inputs of a linear layer after a flattening are the single positions of the channels.
    of_inputs, of_outputs: number of channels before.
    constants: values of removed inputs that are the same for every image, by index. What they add
    to the outputs goes into the bias; the layer gets one if it has none.
    into: index of an input that stays and takes up the constants in the place of the bias. It is
    constant too, and its value is in `constants`. A padded convolution needs it: zeros surround
    the image, so that a constant channel adds less at the border.
    """

    inputs: tuple[_Index, ...] = ()
    outputs: tuple[_Index, ...]
    of_inputs: _Index = 0
    of_outputs: int = Field(ge=1)
    constants: dict[_Index, _Constant] = Field(default_factory=dict)
    into: _Index | None = None


class ChannelPlan(_Plain):
    """The layers that become smaller, by the dotted names of their modules.

    `model_dump_json` writes a plan, and `model_validate_json` reads it.
    """

    layers: dict[str, LayerPlan] = Field(default_factory=dict)
