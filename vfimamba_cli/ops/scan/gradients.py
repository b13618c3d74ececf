"""The gradients' kernel of training in CUDA C++: twice as fast as Triton's, for what it fits.

README.md, "Gradients on CUDA", has the design. Importing this module imports `cuda.bindings`.

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


def fits(u: Tensor, grad: Tensor, *, states: int, rank: int, chunk: int) -> bool:
    """Whether the kernel takes these: half precision and the published network's sizes."""
    channels = u.shape[-1]
    return (
        u.is_cuda
        and torch.cuda.get_device_capability(u.device) >= (8, 0)
        and u.dtype == grad.dtype
        and u.dtype in TYPES
        and (states, chunk) == (STATES, PIXELS)
        and rank in (8, 16, 32)
        and channels % CHANNELS == 0
        and 2 * u.numel() < LARGEST
    )


def chunk_gradients(inputs: Sequence[Tensor], written: Sequence[Tensor]) -> None:
    """As Triton's `chunk_gradients`.

    Args:
        inputs: u (F, B, H, W, D), x (F, B, H, W, K (R + 2 N)), A2 (K, N, D), weight (K, R, D),
            bias and skip (K, D), starts and carries (B, M, K, N, D), grad (2, B, L, D); u, x and
            grad in half precision, the others in fp32.
        written: grad_u and grad_dt (K, F B P, D), grad_BC (D / CHANNELS, F B P, K, 2 N), all in
            the dtype of u; grad_A (B, M, K, N, D) and grad_D (B, M, K, D) in fp32.

    Raises:
        CudaError: the kernel does not compile, load or start.
    """
    u, _, _, weight, *_ = inputs
    _, batch, height, width, channels = u.shape
    chunks = ceil(height * width / PIXELS)
    kernel = _kernel(TYPES[u.dtype], weight.shape[1], u.device.index)
    grid = (channels // CHANNELS, chunks, ORDERS * batch)
    kernel(grid, *inputs, *written, batch, height, width, channels, chunks)


def shared_bytes(rank: int) -> int:
    """Of a block: x in fp32 and two places per token; per warp, what its tokens and states take."""
    channels, segments = CHANNELS // WARPS, TOKENS // 4
    factor = channels * (2 * 4 * 2 * STATES + 16)
    warp = TOKENS * channels * 8 + segments * channels * STATES * 4 + factor
    return TOKENS * (4 * (rank + 2 * STATES) + 8) + WARPS * warp


def _kernel(kind: int, rank: int, device: int) -> Kernel:
    return load(
        "scan/gradients.cu",
        "gradients",
        (("TYPE", kind), ("RANK", rank)),
        device,
        threads=32 * WARPS,
        shared=shared_bytes(rank),
    )
