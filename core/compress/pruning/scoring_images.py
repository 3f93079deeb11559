"""The images that weights are scored on: batch after batch, and others in every round."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from core.errors import UserError

LoadImages = Callable[[int, int], tuple[Tensor, Tensor]]
"""Loads the images from a first position up to a last one, which is not included.

Returns the images (B, C, H, W), normalised, and the labels (B,).
"""


@dataclass(frozen=True, eq=False)
class ScoringBatch:
    """Images (N, C, H, W), normalised; labels (N,); and the batch's share of its round's images."""

    images: Tensor
    labels: Tensor
    share: float


@dataclass(frozen=True, eq=False)
class ScoringImages:
    """Images in a fixed order, of which every round takes the next ones.

    load: loads images by their positions.
    available: number of images that there are. If too few are left for a round, it starts again
    with the first ones.
    per_round: number of images in a round, in [1, available].
    batch_size: number of images in a batch.
    """

    load: LoadImages
    available: int
    per_round: int
    batch_size: int

    @property
    def batch_count(self) -> int:
        """Number of batches in a round."""
        return len(self._bounds())

    def batches(self, round_number: int) -> Iterator[ScoringBatch]:
        """Load the batches of a round, one after the other. Rounds are counted from 1."""
        different_rounds = self.available // self.per_round
        first = (round_number - 1) % different_rounds * self.per_round
        for start, stop in self._bounds():
            images, labels = self.load(first + start, first + stop)
            yield ScoringBatch(images, labels, (stop - start) / self.per_round)

    def _bounds(self) -> list[tuple[int, int]]:
        """The first and the last position of each batch of a round.

        A single last image joins the batch before it, because BatchNorm has no statistics of one
        image.
        """
        starts = list(range(0, self.per_round, self.batch_size))
        last_is_single = self.per_round - starts[-1] == 1
        if last_is_single and self.batch_size > 1 and len(starts) > 1:
            starts.pop()
        return list(zip(starts, [*starts[1:], self.per_round], strict=True))


def images_in_memory(
    images: Tensor, labels: Tensor, batch_size: int | None = None, per_round: int | None = None
) -> ScoringImages:
    """Score on these images (N, C, H, W), normalised, and labels (N,).

    batch_size: all images of a round if not given. per_round: all images if not given. Raises
    UserError if there are no images, or another number of labels.
    """
    count = len(images)
    if count == 0 or count != len(labels):
        raise UserError(
            f"Scoring takes at least one image and a label each, got {count} and {len(labels)}."
        )
    per_round = per_round or count

    def load(start: int, stop: int) -> tuple[Tensor, Tensor]:
        return images[start:stop], labels[start:stop]

    return ScoringImages(load, count, per_round, batch_size or per_round)
