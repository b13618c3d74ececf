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
RESERVED = 1024  # bytes of shared memory that the system takes for each block
WORTHWHILE = 0.8  # share of the time that processors have a block
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


def walks(u: Tensor, rank: int) -> bool:
    """Whether orders are best walked from end to end for gradients, too.

    They need no adjoints of chunks then, a fifth of the time, but all processors must be busy.
    """
    processors = torch.cuda.get_device_properties(u.device)
    shared = shared_bytes(rank, gradients=True) + RESERVED
    resident = min(processors.shared_memory_per_multiprocessor // shared, 4)
    blocks = u.shape[1] * ORDERS * (u.shape[-1] // CHANNELS)
    rounds = blocks / (processors.multi_processor_count * resident)
    return rounds / ceil(rounds) >= WORTHWHILE


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

    A chunk at a time, or whole orders: S spans, with S = M or S = 1.

    Args:
        inputs: u (F, B, H, W, D), x (F, B, H, W, K (R + 2 N)), A2 (K, N, D), weight (K, R, D),
            bias and skip (K, D), starts (B, M, K, N, D), carries (B, S, K, N, D), grad
            (2, B, L, D); u, x and grad in half precision, the others in fp32.
        written: grad_u and grad_dt (K, F B P, D), grad_BC (D / CHANNELS, F B P, K, 2 N), all in
            the dtype of u; grad_A (B, S, K, N, D), grad_D and grad_bias (B, S, K, D) in fp32.

    Raises:
        CudaError: the kernel does not compile, load or start.
    """
    u, _, _, weight, *_ = inputs
    _, batch, height, width, channels = u.shape
    rank = weight.shape[1]
    kernel = _kernel("gradients", u, rank, shared_bytes(rank, gradients=True))
    chunks, spans = _chunks(u), written[3].shape[1]
    grid = (channels // CHANNELS, spans, ORDERS * batch)
    kernel(grid, *inputs, *written, batch, height, width, channels, chunks, ceil(chunks / spans))


def shared_bytes(rank: int, *, gradients: bool) -> int:
    """Of a block: x in fp32 and three places per token; per warp, its tokens and states."""
    channels, segments = CHANNELS // WARPS, TOKENS // 4
    warp = TOKENS * channels * 8
    if gradients:
        warp += segments * channels * STATES * 2 + channels * (2 * 4 * 2 * STATES + 16)
    return TOKENS * (4 * (rank + 2 * STATES) + 12) + WARPS * warp


def _chunks(u: Tensor) -> int:
    return ceil(u.shape[2] * u.shape[3] / PIXELS)


def _kernel(name: str, u: Tensor, rank: int, shared: int) -> Kernel:
    # With more channels there are more blocks, and registers are better spent on holding them all.
    defines = (("TYPE", TYPES[u.dtype]), ("RANK", rank), ("BLOCKS", 4 if rank == 8 else 8))
    source = "scan/training.cu"
    return load(source, name, defines, u.device.index, threads=32 * WARPS, shared=shared)
