"""Motion: coarse heads on the deep features, then local blocks on the pictures.

F = 2 frames, B batch, C channels, H x W pixels. A step's result is 5 channels: flow (4, in pixels)
and mask logit.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfimamba_cli.model.activation import ConvPReLU, conv
from vfimamba_cli.model.alignment import UpConv2d, side_by_side
from vfimamba_cli.model.interface import Motion
from vfimamba_cli.ops.resize import resize, resize_flow
from vfimamba_cli.ops.warp import warp_pair


def warp_both(
    maps: Tensor, flow: Tensor, *, top: int = 0, left: int = 0, kernels: bool = False
) -> tuple[Tensor, Tensor]:
    """Both of (F, B, C, H, W) maps brought to the wanted time by `flow` (B, 4, h, w).

    `top` and `left` say where the flow's part of the maps begins, as in `warp`; `kernels` as in
    `warp_pair`.
    """
    first, second = warp_pair(maps, flow, top=top, left=left, kernels=kernels).chunk(2, dim=1)
    return first, second


class Step:
    """A motion on the way to the last, and both frames as it brings them.

    They are warped when first asked for, and kept: the next step and the loss both see them.

    Attributes:
        motion: of the size of the frames.
    """

    def __init__(self, frames: Tensor, motion: Motion, *, kernels: bool) -> None:
        self.frames, self.motion, self.kernels = frames, motion, kernels
        self._warped: tuple[Tensor, Tensor] | None = None

    @property
    def warped(self) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) each."""
        if self._warped is None:
            self._warped = warp_both(self.frames, self.motion.flow, kernels=self.kernels)
        return self._warped

    @property
    def merged(self) -> Tensor:
        """The warped frames, weighed by the mask, (B, 3, H, W)."""
        first, second = self.warped
        return torch.lerp(second, first, torch.sigmoid(self.motion.mask))

    @property
    def planes(self) -> tuple[Tensor, ...]:
        """Both frames, both warped, mask logit: what the next step sees beside the flow."""
        return self.frames[0], self.frames[1], *self.warped, self.motion.mask


def step(motion: Motion | None, change: Tensor) -> Motion:
    """The motion after a head or block added its (B, 5, H, W) change."""
    flow, mask = change.float().split((4, 1), dim=1)
    if motion is None:
        return Motion(flow, mask)
    return Motion(motion.flow + flow, motion.mask + mask)


class MotionHead(nn.Module):
    """Reads motion off one level's features of both frames, at a quarter of its scale.

    Source: EMA-VFI (arXiv 2303.00440), motion estimation; VFIMamba, section 3.1.
    """

    def __init__(self, channels: int, planes: int, hidden: int, *, scale: int) -> None:
        super().__init__()
        self.shrink = 4 / scale
        inputs = 2 * channels // 16 + planes
        self.conv = nn.Sequential(
            ConvPReLU(*conv(inputs, hidden)),
            ConvPReLU(*conv(hidden, hidden)),
            ConvPReLU(*conv(hidden, 5)),
        )

    def forward(self, features: Tensor, planes: Tensor, flow: Tensor | None) -> Tensor:
        """Change of flow and mask.

        Args:
            features: (F, B, C, h, w) of the head's level, h = H / scale.
            planes: (B, P, H, W), everything else it sees.
            flow: (B, 4, H, W) so far, in pixels; none for the first head.

        Returns:
            (B, 5, H, W).
        """
        both = torch.cat(tuple(features), dim=1)
        inputs = [F.pixel_shuffle(F.pixel_shuffle(both, 2), 2), resize(planes, self.shrink)]
        if flow is not None:
            inputs.append(resize_flow(flow, self.shrink))
        x = self.conv(side_by_side([x.to(both) for x in inputs]))
        change = resize(x.float(), 1 / self.shrink)
        return torch.cat((change[:, :4] / self.shrink, change[:, 4:]), dim=1)


class LocalBlock(nn.Module):
    """Sharpens the flow from the pictures alone, at 1 / (4 scale) of their size.

    Source: IFBlock of RIFE (arXiv 2011.06294), without its time plane.
    """

    def __init__(self, hidden: int, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(
            ConvPReLU(*conv(17, hidden // 2, stride=2)),
            ConvPReLU(*conv(hidden // 2, hidden, stride=2)),
        )
        self.convblock = nn.Sequential(*(ConvPReLU(*conv(hidden, hidden)) for _ in range(8)))
        self.lastconv = UpConv2d(hidden, 5)

    def forward(self, planes: Tensor, flow: Tensor) -> Tensor:
        """(B, 13, H, W) pictures and mask, (B, 4, H, W) flow in pixels -> (B, 5, H, W) change."""
        inputs = (resize(planes, 1 / self.scale), resize_flow(flow, 1 / self.scale))
        x = self.conv0(side_by_side(inputs).to(self.lastconv.weight.dtype))
        change = resize(self.lastconv(self.convblock(x) + x).float(), 2 * self.scale)
        return torch.cat((change[:, :4] * (2 * self.scale), change[:, 4:]), dim=1)
