"""The scan's kernels for training in CUDA C++, in the place of Triton's for what they fit.

README.md, "Training on CUDA", has the design. Importing this module imports `cuda.bindings`.

F = 2 frames, B batch, D channels, N states, R rank, P = H W pixels, K = 4 orders, M chunks.
"""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from vfimamba_cli.ops.nvrtc import Kernel, load

ORDERS = 4
PIXELS = 16
"""Of a chunk, from whose states and adjoints the kernel starts."""

CHANNELS = 64
"""Of a block."""

STATES, TOKENS, WARPS = 16, 2 * PIXELS, 4
TYPES = {torch.float16: 1, torch.bfloat16: 2}
LARGEST = 2**31  # elements that 32-bit offsets reach


def fits(u: Tensor, *, states: int, rank: int, chunk: int) -> bool:
    """Whether the kernels take these: half precision and the published network's sizes."""
    return (
        u.is_cuda
        and torch.cuda.get_device_capability(u.device) >= (8, 0)
        and u.dtype in TYPES
        and (states, chunk) == (STATES, PIXELS)
        and rank in (8, 16, 32)
        and u.shape[-1] % CHANNELS == 0
        and ORDERS * u.numel() // u.shape[-1] * max(u.shape[-1], rank + 2 * states) < LARGEST
    )


def fills(u: Tensor) -> bool:
    """Whether there is enough to do side by side if every order is walked from end to end."""
    processors = torch.cuda.get_device_properties(u.device).multi_processor_count
    return u.shape[1] * ORDERS * (u.shape[-1] // CHANNELS) >= 2 * processors


def outputs(inputs: Sequence[Tensor], written: Sequence[Tensor]) -> None:
    """Every order from end to end.

    Args:
        inputs: u (F, B, H, W, D), x (F, B, H, W, K (R + 2 N)), A2 (K, N, D), weight (K, R, D),
            bias and skip (K, D); u and x in half precision, the others in fp32.
        written: y (K, B, L, D) by forward position, in the dtype of u; the states chunks start
            from, (B, M, K, N, D), and their sums of dt, (B, M, K, D), in fp32.

    Raises:
        CudaError: the kernel does not compile, load or start.
    """
    u, _, _, weight, *_ = inputs
    _, batch, height, width, channels = u.shape
    rank = weight.shape[1]
    kernel = _kernel("outputs", u, rank, shared_bytes(rank, gradients=False))
    grid = (channels // CHANNELS, ORDERS * batch, 1)
    kernel(grid, *inputs, *written, batch, height, width, channels, _chunks(u))


def chunk_gradients(inputs: Sequence[Tensor], written: Sequence[Tensor]) -> None:
    """As Triton's `chunk_gradients`, and sums of grad_dt, which are the bias's gradient.

    Args:
        inputs: u (F, B, H, W, D), x (F, B, H, W, K (R + 2 N)), A2 (K, N, D), weight (K, R, D),
            bias and skip (K, D), starts and carries (B, M, K, N, D), grad (2, B, L, D); u, x and
            grad in half precision, the others in fp32.
        written: grad_u and grad_dt (K, F B P, D), grad_BC (D / CHANNELS, F B P, K, 2 N), all in
            the dtype of u; grad_A (B, M, K, N, D), grad_D and grad_bias (B, M, K, D) in fp32.

    Raises:
        CudaError: the kernel does not compile, load or start.
    """
    u, _, _, weight, *_ = inputs
    _, batch, height, width, channels = u.shape
    rank = weight.shape[1]
    kernel = _kernel("gradients", u, rank, shared_bytes(rank, gradients=True))
    grid = (channels // CHANNELS, _chunks(u), ORDERS * batch)
    kernel(grid, *inputs, *written, batch, height, width, channels, _chunks(u))


def shared_bytes(rank: int, *, gradients: bool) -> int:
    """Of a block: x in fp32 and three places per token; per warp, its tokens and states."""
    channels, segments = CHANNELS // WARPS, TOKENS // 4
    warp = TOKENS * channels * 8
    if gradients:
        warp += segments * channels * STATES * 4 + channels * (2 * 4 * 2 * STATES + 16)
    return TOKENS * (4 * (rank + 2 * STATES) + 12) + WARPS * warp


def _chunks(u: Tensor) -> int:
    return ceil(u.shape[2] * u.shape[3] / PIXELS)


def _kernel(name: str, u: Tensor, rank: int, shared: int) -> Kernel:
    # With more channels there are more blocks, and registers are better spent on holding them all.
    defines = (("TYPE", TYPES[u.dtype]), ("RANK", rank), ("BLOCKS", 4 if rank == 8 else 8))
    source = "scan/training.cu"
    return load(source, name, defines, u.device.index, threads=32 * WARPS, shared=shared)
