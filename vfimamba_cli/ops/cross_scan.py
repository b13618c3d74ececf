"""Two frames as token sequences in four orders, and back.

F = 2 frames, B batch, C channels, H x W tokens, L = 2 H W, K = 4 scan orders.
"""

from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

SCAN_ORDERS = 4
Arrangement = Literal["interleaved", "sequential"]

# Where the frame axis stands among the positions of a sequence.
_ROWS: dict[str, str] = {"interleaved": "(h w f)", "sequential": "(f h w)"}
_COLUMNS: dict[str, str] = {"interleaved": "(w h f)", "sequential": "(f w h)"}


def cross_scan(
    x: Tensor, *, rows: Arrangement = "interleaved", columns: Arrangement = "interleaved"
) -> Tensor:
    """Read both frames in four orders.

    Orders 0 and 1 walk rows and columns; 2 and 3 walk the same backwards. Interleaved, token 2p
    is frame 0 at position p and token 2p + 1 frame 1 at the same position; sequential, all of
    frame 0 comes before all of frame 1.

    (F, B, C, H, W) -> (B, K, C, L).

    Source: VFIMamba (arXiv 2407.02315), "rearrangement".
    """
    by_row = rearrange(x, f"f b c h w -> b c {_ROWS[rows]}")
    by_column = rearrange(x, f"f b c h w -> b c {_COLUMNS[columns]}")
    forward = torch.stack((by_row, by_column), dim=1)
    return torch.cat((forward, forward.flip(-1)), dim=1)


def cross_merge(
    y: Tensor,
    height: int,
    width: int,
    *,
    rows: Arrangement = "interleaved",
    columns: Arrangement = "interleaved",
    exact: bool,
) -> Tensor:
    """Sum the four orders back onto the feature grid.

    Args:
        y: (B, K, C, L), in the orders of `cross_scan`.
        height, width: feature size, in tokens.
        rows, columns: as `cross_scan` was called.
        exact: put every column token back where it was read. If not, as the published network
            does, see below.

    Returns:
        (F, B, C, H, W).

    The released network un-transposes the column orders as if they held one frame after the
    other, and adds the result to the row sequence. With interleaved tokens most of them return
    to another place than their own, in a way that depends on H and W. Its weights were trained
    so.
    """
    size = {"h": height, "w": width, "f": 2}
    forward = y[:, :2] + y[:, 2:].flip(-1)  # (B, 2, C, L): rows, columns
    by_row, by_column = forward.unbind(dim=1)
    to_grid = f"b c {_ROWS[rows]} -> f b c h w"
    if not exact:
        scrambled = rearrange(by_column, "b c (f w h) -> b c (f h w)", **size)
        return rearrange(by_row + scrambled, to_grid, **size)
    return rearrange(by_row, to_grid, **size) + rearrange(
        by_column, f"b c {_COLUMNS[columns]} -> f b c h w", **size
    )
