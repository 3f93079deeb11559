"""Multiplies pruning masks into the tensors that they belong to.

torch.nn.utils.prune stores weight_orig and weight_mask, and SynFlow's repository weight and
weight_mask. Both networks compute with the product.
"""

from collections.abc import Mapping

from torch import Tensor

_MASK = "_mask"
_ORIGINAL = "_orig"


def apply_stored_masks(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Return the tensors without masks and multiplied by them, and the number of masks.

    A mask is called like its tensor with _mask at the end, and has its shape. Other tensors stay,
    and so does the order.
    """
    masks: dict[str, Tensor] = {}
    for name, tensor in state.items():
        masked_name = name.removesuffix(_MASK)
        masked = state.get(masked_name + _ORIGINAL, state.get(masked_name))
        if name.endswith(_MASK) and masked is not None and masked.shape == tensor.shape:
            masks[masked_name] = tensor
    plain: dict[str, Tensor] = {}
    for name, tensor in state.items():
        masked_name = name.removesuffix(_ORIGINAL)
        if name.endswith(_MASK) and name.removesuffix(_MASK) in masks:
            continue
        if masked_name in masks:
            plain[masked_name] = tensor * masks[masked_name].to(tensor.dtype)
        else:
            plain[name] = tensor
    return plain, len(masks)
