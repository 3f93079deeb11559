"""The recipes that measure a network, or turn it into a file for other programs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Device, FrozenModel, Seed


class AnswersRecipe(FrozenModel):
    """Test the parent's network on all test images, and keep its answer for each of them."""

    kind: Literal["answers"] = "answers"
    device: Device = "auto"
    epochs: ClassVar[int] = 0


class Int8Recipe(FrozenModel):
    """Make an ONNX file of the parent's network whose layers run in 8-bit integers, and test it."""

    kind: Literal["int8"] = "int8"
    images: int = Field(
        default=512,
        ge=1,
        le=100_000,
        description=(
            "Training images, as they are, on which the range of every activation is measured. The"
            " same ones for the same seed, never test images."
        ),
    )
    float_first: bool = Field(
        default=False,
        description="Keep the first layer, which sees the pixels, in float.",
    )
    float_last: bool = Field(
        default=False,
        description="Keep the last layer, which gives the logits, in float.",
    )
    seed: Seed = Field(default=0, description="Seed of the choice of images.")
    device: Literal["cpu"] = Field(
        default="cpu", description="Integer layers run on the processor alone."
    )
    epochs: ClassVar[int] = 0


class LatencyRecipe(FrozenModel):
    """Measure how fast the parent's network runs here: in PyTorch, ONNX Runtime, and 8 bits."""

    kind: Literal["latency"] = "latency"
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(1, 32),
        min_length=1,
        max_length=8,
        description="Images in one call. Each size is measured by itself.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads that compute one call. If not set: one for each processor core.",
    )
    seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description=(
            "Time for measuring at each batch size. All forms of the network run in turn, at least"
            " 20 times each, however long that takes."
        ),
    )
    compiled: bool = Field(
        default=False,
        description=(
            "Measure the network under torch.compile too. It needs a C++ compiler, and up to some"
            " minutes to compile."
        ),
    )
    seed: Seed = Field(
        default=0, description="Seed of the intervals and of the choice of calibration images."
    )
    device: Literal["cpu"] = Field(
        default="cpu", description="Speed is compared on the processor, where all forms run."
    )
    epochs: ClassVar[int] = 0
