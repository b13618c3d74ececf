"""Convolutions of few channels by CUDA kernels of our own: each input byte is read once.

The layers of `convolution`, with the same results up to rounding. Importing this module imports
`cuda.bindings`, not Triton.

N images, H x W pixels, C channels.
"""

from dataclasses import replace
from functools import cache
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import pad

from vfimamba_cli.ops.fused.direct_cuts import Cut, Layer, defines
from vfimamba_cli.ops.nvrtc import Kernel, load, shared_limit

SOURCE = "fused/direct.cu"
TYPES = {torch.float16: 1, torch.bfloat16: 2}
SIDES = [
    (q, i, j) for q in (0, 1) for i in (0, 1) for j in (0, 1)
]  # column's parity; its tap, row's


class DirectConv:
    """A 3x3 convolution of padding 1, its bias and its PReLU; or a transposed 4x4 one of stride 2.

    Attributes:
        layer: what its kernel is compiled for, `adds` and `twice` aside.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        slope: Tensor | None,
        *,
        stride: int = 1,
        transposed: bool = False,
        kept: int | None = None,
    ) -> None:
        """Pack the weights.

        Args:
            weight: (C', C, 3, 3), or (C, C', 4, 4) if transposed, in half precision.
            bias: (C',).
            slope: (C',) of PReLU, none without it.
            stride: 1 or 2; 1 if transposed.
            transposed: with stride 2 and padding 1.
            kept: channels of the result, those past C' being zero; C' if none.
        """
        taps = weight.permute(2, 3, 0, 1) if transposed else weight.permute(2, 3, 1, 0)
        inputs, outputs = (ceil(size / 8) * 8 for size in (taps.shape[2], kept or taps.shape[3]))
        kept = kept or taps.shape[3]
        self.layer = Layer(
            inputs=inputs, outputs=outputs, kept=kept, stride=stride, transposed=transposed
        )
        missing = outputs - taps.shape[3]
        taps = pad(taps, (0, missing, 0, inputs - taps.shape[2]))
        if transposed:
            parities = ([taps[3 - p - 2 * j, 3 - q - 2 * i] for q, i, j in SIDES] for p in (0, 1))
            self.weight = torch.cat([_packed(torch.stack(parity)) for parity in parities])
        else:
            self.weight = _packed(taps.flatten(0, 1))
        self.bias = pad(bias.float(), (0, missing))
        self.slope = (
            torch.ones_like(self.bias) if slope is None else pad(slope.float(), (0, missing))
        )

    def __call__(
        self,
        x: Tensor,
        *,
        before: Tensor | None = None,
        out: Tensor | None = None,
        second: Tensor | None = None,
        cut: Cut | None = None,
    ) -> Tensor:
        """(N, H, W, C) -> (N, H', W', kept).

        Args:
            x: in the dtype of the weights; the last axis may be a slice of a wider one.
            before: added after the activation, as the result.
            out, second: where the result goes; the last axis may be a slice of a wider one.
            cut: how to cut the work.

        Raises:
            ValueError: a tensor is laid out in another way.
            CudaError: the kernel does not compile, load or start.
        """
        layer = replace(self.layer, adds=before is not None, twice=second is not None)
        images, height, width, _ = x.shape
        rows, columns = ceil(height / layer.stride), ceil(width / layer.stride)
        scale = 2 if layer.transposed else 1
        shape = (images, rows * scale, columns * scale, layer.kept)
        out = x.new_empty(shape) if out is None else out
        _check("x", x, (images, height, width, layer.inputs), self.weight.dtype, 8)
        for name, tensor in (("before", before), ("out", out), ("second", second)):
            if tensor is not None:
                _check(name, tensor, shape, x.dtype, layer.run)
        before, second = x if before is None else before, out if second is None else second
        device = x.device.index
        cut = cut or _cut(layer, device)
        tiles = images * ceil(rows / cut.tile[0]) * ceil(columns / cut.tile[1])
        blocks = min(ceil(tiles / cut.teams), _processors(device) * cut.blocks)
        grid = (blocks, cut.slices * scale // cut.parities, 1)
        _kernel(layer, cut, TYPES[x.dtype], device)(
            grid, x, self.weight, self.bias, self.slope, before, out, second,
            images, height, width, x.stride(2), before.stride(2), out.stride(2), second.stride(2),
        )  # fmt: skip
        return out


def _packed(taps: Tensor) -> Tensor:
    """(T, C, C') in the order of the lanes that multiply by it.

    Per group of 8 U outputs and per tap: steps of 16 inputs, then one of 8 if there are 8 left.
    A lane takes inputs 2 q and 2 q + 1 of each 8, and output n of each 8 of a matrix. Outputs are
    numbered so that what a lane's quad holds of a pixel is in order, 2 U channels a lane.
    """
    count, inputs, outputs = taps.shape
    units = 4 if outputs % 32 == 0 else 2 if outputs % 16 == 0 else 1
    groups, full = outputs // (8 * units), inputs // 16
    blocks = max(units // 2, 1)  # of at most 4 words a lane
    steps = taps[:, : 16 * full].reshape(
        count, full, 2, 4, 2, groups, 4, blocks, units // blocks, 2
    )
    # tap, step, half, q, pair; group, n // 2, block, unit, n % 2
    parts = [steps.permute(5, 0, 1, 7, 6, 9, 3, 8, 2, 4).reshape(groups, count, -1)]
    if inputs % 16:
        last = taps[:, 16 * full :].reshape(count, 4, 2, groups, 4, units, 2)
        parts.append(last.permute(3, 0, 4, 6, 1, 5, 2).reshape(groups, count, -1))
    return torch.cat(parts, dim=-1).flatten()


@cache
def _processors(device: int) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


@cache
def _cut(layer: Layer, device: int) -> Cut:
    return Cut.for_layer(layer, shared_limit(device))


@cache
def _kernel(layer: Layer, cut: Cut, kind: int, device: int) -> Kernel:
    shared = cut.shared(layer)
    return load(
        SOURCE, "convolve", defines(layer, cut, kind), device, threads=cut.threads, shared=shared
    )


def _check(
    name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, multiple: int
) -> None:
    """Pixel after pixel, and channels in pieces of `multiple`."""
    pixel = tensor.stride(2)
    _, height, width, channels = tensor.shape
    lines = (height * width * pixel, width * pixel, pixel, 1)
    apart = any(
        size > 1 and stride != line
        for size, stride, line in zip(tensor.shape, tensor.stride(), lines, strict=True)
    )
    if apart or pixel < channels or pixel % multiple or tensor.data_ptr() % (2 * multiple):
        raise ValueError(f"{name} has strides {tensor.stride()}: not pixel after pixel")
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ValueError(f"{name} is {tensor.dtype}, {tuple(tensor.shape)}, not {dtype}, {shape}")
