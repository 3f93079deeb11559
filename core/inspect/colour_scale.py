"""Maps values to the levels of a colormap, and defines the palette of a mosaic.

Levels 0 to 252 of the palette are the colormap. There are 253 of them and not 256, so that the
centre of a diverging scale has its own level. The last three levels are for the space between the
tiles (transparent in a PNG), for frames, and for NaN. Nothing here needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

TOP_LEVEL = 252
SPACE_LEVEL = 253
FRAME_LEVEL = 254
NAN_LEVEL = 255

_WHITE = (255, 255, 255)
_GREY = (128, 128, 128)
# A magenta that is in neither of the colormaps, and visible on black and on white.
FRAME_COLOUR = (224, 33, 138)
# The diverging colormap with a dark centre that stands for one with a white centre. Both go from
# blue to red.
_DARK_CENTRED = {"RdBu_r": "berlin"}


@dataclass(frozen=True)
class ColourScale:
    """A matplotlib colormap, and the values that its two ends stand for.

    Values beyond an end have the colour of that end.
    """

    low: float
    high: float
    colormap: str

    @classmethod
    def sequential(cls, *arrays: np.ndarray, colormap: str = "viridis") -> "ColourScale":
        """Return the scale from 0, or the least value if it is negative, to the greatest value.

        Values of all the arrays count. NaN and infinity are ignored.
        """
        low = _least(arrays)
        high = _greatest(arrays, initial=low)
        if high == low:
            high = low + 1
        return cls(low, high, colormap)

    @classmethod
    def diverging(cls, *arrays: np.ndarray, colormap: str = "RdBu_r") -> "ColourScale":
        """Return the scale that is centred at 0 and reaches the greatest magnitude in the arrays.

        NaN and infinity are ignored.
        """
        magnitudes = [np.abs(array) for array in arrays]
        end = _greatest(magnitudes, initial=0.0)
        if end == 0:
            end = 1.0
        return cls(-end, end, colormap)

    def levels(self, values: np.ndarray, top: int = TOP_LEVEL) -> np.ndarray:
        """Return the nearest level in [0, top] for each value, as uint8; 255 for NaN."""
        offset = np.asarray(values, np.float32) - self.low
        share = np.clip(offset / (self.high - self.low), 0, 1)
        levels = np.rint(share * top)
        return np.nan_to_num(levels, nan=NAN_LEVEL).astype(np.uint8)

    def in_theme(self, dark: bool) -> "ColourScale":
        """Return the same scale for a page that is dark or not.

        On a dark page the centre of a diverging scale is dark, so that values near 0 stay unseen.
        """
        if not dark:
            return self
        return replace(self, colormap=_DARK_CENTRED.get(self.colormap, self.colormap))

    @property
    def palette(self) -> np.ndarray:
        """The colour of every level: (256, 3) uint8, read-only."""
        return _palette(self.colormap)


def _least(arrays: Sequence[np.ndarray]) -> float:
    """Return the least finite value of all the arrays, at most 0."""
    minima = [float(array.min(initial=0, where=np.isfinite(array))) for array in arrays]
    return min([0.0, *minima])


def _greatest(arrays: Sequence[np.ndarray], initial: float) -> float:
    """Return the greatest finite value of all the arrays, at least `initial`."""
    return max(float(array.max(initial=initial, where=np.isfinite(array))) for array in arrays)


@lru_cache
def _palette(colormap: str) -> np.ndarray:
    from matplotlib import colormaps

    shares = np.linspace(0, 1, TOP_LEVEL + 1)
    colours = colormaps[colormap](shares, bytes=True)[:, :3]
    palette = np.vstack([colours, [_WHITE, FRAME_COLOUR, _GREY]]).astype(np.uint8)
    palette.setflags(write=False)  # The cache hands the same array to everyone.
    return palette
