"""Growing frames to the size a network runs on, and cutting the result back."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Padding:
    """Pixels added on each side by repeating the edge."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, height: int, width: int, multiple: int) -> Self:
        """Centred padding that makes both sides multiples of `multiple`.

        Source: the published benchmark scripts' padder (left = total // 2).
        """
        across, down = -width % multiple, -height % multiple
        return cls(across // 2, across - across // 2, down // 2, down - down // 2)

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after `add`."""
        return height + self.top + self.bottom, width + self.left + self.right

    def add(self, image: Tensor, out: Tensor) -> None:
        """Write (..., H, W) and its border into `out`, which has the size of `padded`."""
        height, width = image.shape[-2:]
        rows, columns = slice(self.top, self.top + height), slice(self.left, self.left + width)
        out[..., rows, columns] = image
        if self.left:
            out[..., rows, : self.left] = image[..., :1]
        if self.right:
            out[..., rows, columns.stop :] = image[..., -1:]
        if self.top:
            out[..., : self.top, :] = out[..., self.top : self.top + 1, :]
        if self.bottom:
            out[..., rows.stop :, :] = out[..., rows.stop - 1 : rows.stop, :]

    def remove(self, image: Tensor) -> Tensor:
        """The inverse of `add`, on any (..., H, W)."""
        height, width = image.shape[-2:]
        return image[..., self.top : height - self.bottom, self.left : width - self.right]
