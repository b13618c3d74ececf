"""From a decoded picture to the frame a protocol compares at: cropped, reduced, in [0, 1].

H x W pixels.
"""

from torch import Tensor
from torch.nn import functional as F

from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.errors import InputError


def arrange(picture: Tensor, protocol: Protocol, *, origin: str) -> Tensor:
    """Crop and reduce as the protocol says.

    Args:
        picture: (H, W, 3) uint8, R, G, B.
        protocol: names the crop or the size.
        origin: the clip, for the message.

    Returns:
        (1, 3, H', W') fp32 in [0, 1], on the picture's device.

    Raises:
        InputError: the picture is not of a size that can be.
    """
    codes = picture.permute(2, 0, 1)[None].float()
    height, width = codes.shape[-2:]
    if protocol.crop is not None:
        rows, columns = protocol.crop
        if height <= 2 * rows or width <= 2 * columns:
            raise InputError(
                f"Frames of {width}x{height} are too small to cut {columns} columns and {rows} "
                f"rows off each side, as {protocol.name} does: {origin}"
            )
        codes = codes[..., rows : height - rows, columns : width - columns]
    if protocol.shrink_to is not None:
        codes = shrink(codes, protocol.shrink_to, origin=origin)
        if protocol.shrink_to_8bit:
            codes = (codes + 0.5).floor()
    return codes / 255


def shrink(codes: Tensor, size: tuple[int, int], *, origin: str) -> Tensor:
    """(1, C, H, W) -> (1, C, *size), each pixel the mean of those it covers.

    Raises:
        InputError: they are not a whole number each way.

    Source: equals OpenCV's INTER_AREA at whole ratios; with halves rounded up also its 8-bit form.
    """
    height, width = codes.shape[-2:]
    ratio = height // size[0], width // size[1]
    if (ratio[0] * size[0], ratio[1] * size[1]) != (height, width) or 0 in ratio:
        raise InputError(
            f"Frames of {width}x{height} cannot be reduced to {size[1]}x{size[0]} by a whole "
            f"number: {origin}",
            hint="The published set has frames of 4096x2160",
        )
    return F.avg_pool2d(codes, ratio)
