"""The U-Net that turns warped frames and features into what they lack.

B batch, C channels, H x W pixels.
"""

import torch
from torch import Tensor, nn

from vfimamba_cli.model.activation import ConvPReLU, conv
from vfimamba_cli.model.alignment import AlignedConv2d, UpConv2d, side_by_side


class Down(nn.Module):
    """Halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvPReLU(*conv(inputs, outputs, stride=2))
        self.conv2 = ConvPReLU(*conv(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / 2, W / 2)."""
        return self.conv2(self.conv1(x))


def up(inputs: int, outputs: int) -> ConvPReLU:
    """Doubles the size."""
    return ConvPReLU(UpConv2d(inputs, outputs), nn.PReLU(outputs))


class UNet(nn.Module):
    """Residual picture from warped frames and warped features of all levels.

    Source: RIFE's refinement (arXiv 2011.06294); VFIMamba, section 3.1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        c = 2 * width
        self.down0 = Down(17 + c, 2 * c)  # 4 pictures, mask, flow; level 0 of both frames
        self.down1 = Down(4 * c, 4 * c)
        self.down2 = Down(8 * c, 8 * c)
        self.down3 = Down(16 * c, 16 * c)
        self.up0 = up(32 * c, 8 * c)
        self.up1 = up(16 * c, 4 * c)
        self.up2 = up(8 * c, 2 * c)
        self.up3 = up(4 * c, c)
        self.conv = AlignedConv2d(c, 3, 3, padding=1)

    def forward(self, planes: Tensor, warped: list[Tensor]) -> Tensor:
        """What to add to the merged frames.

        Args:
            planes: (B, 17, H, W): both frames, both warped, mask logit, flow.
            warped: one (B, 2 C, H / 2^i, W / 2^i) per level i, frame 0's channels first.

        Returns:
            (B, 3, H, W) fp32 in [-1, 1].
        """
        s0 = self.down0(side_by_side((planes.to(warped[0].dtype), warped[0])))
        s1 = self.down1(torch.cat((s0, warped[1]), dim=1))
        s2 = self.down2(torch.cat((s1, warped[2]), dim=1))
        s3 = self.down3(torch.cat((s2, warped[3]), dim=1))
        x = self.up0(torch.cat((s3, warped[4]), dim=1))
        x = self.up1(torch.cat((x, s2), dim=1))
        x = self.up2(torch.cat((x, s1), dim=1))
        x = self.up3(torch.cat((x, s0), dim=1))
        return torch.sigmoid(self.conv(x).float()) * 2 - 1
