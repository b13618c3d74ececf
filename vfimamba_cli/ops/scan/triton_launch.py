"""How the fused scan's kernels are launched, one method for each.

F = 2 frames, B batch, D channels, N states, R rank, P = H W pixels, L = 2 P tokens, K = 4 orders,
M chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from math import ceil, e, log2, prod
from types import ModuleType
from typing import Any, Self

import torch
import triton
from torch import Tensor

from vfimamba_cli.ops.scan import triton_gradients as backward_kernels
from vfimamba_cli.ops.scan import triton_kernels as kernels

ORDERS = 4
LANES = 2**18  # (order, channel, chunk) triples that fill a large GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How the work is cut; changes no result beyond rounding.

    Attributes:
        chunk: pixels of a chunk; both frames' tokens of each are walked one after another.
        block: most channels of a program; a power of two.
        warps: of a program; block / (32 warps) channels to a thread.
    """

    chunk: int
    block: int = 64
    warps: int = 1

    @classmethod
    def for_size(cls, u: Tensor, *, training: bool = False) -> Self:
        """For activations (F, B, H, W, D): chunks as long as leaves enough of them.

        For gradients short ones: all that is kept of them then stays in the GPU's cache, or in the
        shared memory of the CUDA kernel.
        """
        if training:
            return cls(chunk=16)
        _, batch, height, width, channels = u.shape
        chunk = batch * height * width * ORDERS * channels // LANES
        return cls(chunk=min(max(triton.next_power_of_2(max(chunk, 1)), 32), 256))


@dataclass(frozen=True, kw_only=True)
class FusedScan:
    """The tensors as the kernels read them, and one method per kernel.

    Attributes:
        u: (F, B, H, W, D).
        x: (F, B, H, W, K (R + 2 N)).
        A2: A log2(e), (K, N, D) fp32.
        weight: (K, R, D) fp32.
        bias, D: (K, D) fp32.
        launch: how the work is cut.
    """

    u: Tensor
    x: Tensor
    A2: Tensor
    weight: Tensor
    bias: Tensor
    D: Tensor
    launch: Launch

    @classmethod
    def of(
        cls,
        u: Tensor,
        x_dbl: Tensor,
        A: Tensor,
        D: Tensor,
        dt_weight: Tensor,
        dt_bias: Tensor,
        *,
        launch: Launch,
    ) -> Self:
        """From the arguments of `cross_selective_scan`."""
        return cls(
            u=u.contiguous(),
            x=x_dbl.contiguous(),
            A2=(A.float() * log2(e)).transpose(1, 2).contiguous(),
            weight=dt_weight.float().transpose(1, 2).contiguous(),
            bias=dt_bias.float().contiguous(),
            D=D.float().contiguous(),
            launch=launch,
        )

    @cached_property
    def size(self) -> tuple[int, int, int, int, int]:
        """B, H, W, D, M: the kernels' run-time sizes."""
        _, batch, height, width, channels = self.u.shape
        return batch, height, width, channels, ceil(height * width / self.launch.chunk)

    @cached_property
    def block(self) -> int:
        """Channels of a program: a power of two that divides D."""
        channels = self.u.shape[-1]
        return min(self.launch.block, channels & -channels)

    @cached_property
    def states_shape(self) -> tuple[int, int, int, int, int]:
        """(B, M, K, N, D)."""
        batch, _, _, channels, chunks = self.size
        return batch, chunks, ORDERS, self.A2.shape[1], channels

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Room on the tensors' device."""
        return torch.empty(shape, device=self.u.device, dtype=dtype)

    def grid(self, programs: int) -> tuple[int, int, int]:
        """Blocks of channels, chunks, and `programs` for every pair of the two."""
        return self.size[3] // self.block, self.size[4], programs

    @property
    def constants(self) -> dict[str, int]:
        """What the chunk kernels are compiled for."""
        rank = self.weight.shape[1]
        return {
            "CHUNK": self.launch.chunk,
            "BLOCK": self.block,
            "N": self.A2.shape[1],
            "RANK": rank,
            "PADDED": triton.next_power_of_2(rank),
            "num_warps": self.launch.warps,
        }

    def forward(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """y by position, (parts, 2, B, L, D), to be summed over its parts; the states that chunks
        start from, (B, M, K, N, D); and their sums of dt, (B, M, K, D)."""
        batch, height, width, channels, chunks = self.size
        if self.cuda is None or dtype != self.u.dtype or not self.cuda.fills(self.u):
            ends, totals = self.ends()
            starts = self.starts(ends, totals)
            return self.outputs(starts, dtype)[None], starts, totals
        y = self.empty(2, 2, batch, 2 * height * width, channels, dtype=dtype)
        starts, totals = self.empty(*self.states_shape), self.empty(batch, chunks, ORDERS, channels)
        inputs = (self.u, self.x, self.A2, self.weight, self.bias, self.D)
        self.cuda.outputs(inputs, (y, starts, totals))
        return y, starts, totals

    def ends(self) -> tuple[Tensor, Tensor]:
        """Each chunk's last state when it starts from zero, (B, M, K, N, D), and its sum of dt."""
        batch, chunks, orders, _, channels = self.states_shape
        ends, totals = self.empty(*self.states_shape), self.empty(batch, chunks, orders, channels)
        kernels.chunk_ends[self.grid(batch * ORDERS)](
            self.u, self.x, self.A2, self.weight, self.bias, ends, totals,
            *self.size, **self.constants,
        )  # fmt: skip
        return ends, totals

    def starts(self, ends: Tensor, totals: Tensor, *, against: bool = False) -> Tensor:
        """What each chunk starts from; for adjoints `against` the direction of the orders."""
        batch, chunks, _, states, channels = self.states_shape
        starts = torch.empty_like(ends)
        lanes = 128
        kernels.pass_states[(triton.cdiv(states * channels, lanes), batch * ORDERS)](
            ends, totals, self.A2, starts, channels, chunks, int(against),
            BLOCK=lanes, N=states, num_warps=4,
        )  # fmt: skip
        return starts

    def outputs(self, starts: Tensor, dtype: torch.dtype) -> Tensor:
        """y by position along rows and along columns, (2, B, L, D)."""
        batch, height, width, channels, _ = self.size
        y = self.empty(2, batch, 2 * height * width, channels, dtype=dtype)
        kernels.chunk_outputs[self.grid(batch * 2)](
            self.u, self.x, self.A2, self.weight, self.bias, self.D[:2] + self.D[2:], starts, y,
            *self.size, **self.constants,
        )  # fmt: skip
        return y

    def merge(self, y: Tensor, *, exact: bool) -> Tensor:
        """(parts, 2, B, L, D) summed onto the grid, (F, B, H, W, D)."""
        out = torch.empty_like(self.u, dtype=y.dtype)
        self._move(kernels.merge, y, out, EXACT=exact, PARTS=len(y))
        return out

    def spread(self, grad: Tensor, *, exact: bool) -> Tensor:
        """The transpose of `merge`, in the dtype of `grad`."""
        batch, height, width, channels, _ = self.size
        out = self.empty(2, batch, 2 * height * width, channels, dtype=grad.dtype)
        self._move(backward_kernels.spread, grad.contiguous(), out, EXACT=exact)
        return out

    def adjoints(self, grad: Tensor) -> Tensor:
        """What each chunk hands to earlier ones when later ones hand it nothing; as `ends`."""
        ends = self.empty(*self.states_shape)
        backward_kernels.chunk_adjoints[self.grid(self.size[0] * ORDERS)](
            self.x, self.A2, self.weight, self.bias, grad, ends, *self.size, **self.constants
        )
        return ends

    def carries(self, totals: Tensor, grad: Tensor) -> Tensor:
        """The adjoints that enter each chunk, (B, M, K, N, D); or each order, (B, 1, K, N, D), if
        those are walked as a whole."""
        batch, _, orders, states, channels = self.states_shape
        cuda = self.cuda if grad.dtype == self.u.dtype else None
        if cuda is not None and cuda.walks(self.u, self.weight.shape[1]):
            return torch.zeros(batch, 1, orders, states, channels, device=self.u.device)
        return self.starts(self.adjoints(grad), totals, against=True)

    def gradients(self, starts: Tensor, carries: Tensor, grad: Tensor) -> "Gradients":
        """All gradients, from the states and `carries` that enter chunks and dLoss/dy,
        (2, B, L, D).

        What sums are taken of is stored in the dtype of `u`.
        """
        batch, height, width, channels, _ = self.size
        states, pixels, dtype = self.A2.shape[1], 2 * batch * height * width, self.u.dtype
        u, dt = (self.empty(ORDERS, pixels, channels, dtype=dtype) for _ in "ud")
        A, D = torch.empty_like(carries), self.empty(batch, carries.shape[1], ORDERS, channels)
        inputs = (self.u, self.x, self.A2, self.weight, self.bias, self.D, starts, carries, grad)
        if self.cuda is None or grad.dtype != dtype:
            BC = self.empty(channels // self.block, pixels, ORDERS, 2 * states, dtype=dtype)
            self.launch_gradients(inputs, (u, dt, BC, A, D))
            bias = dt.sum(1, dtype=torch.float32)
        else:
            blocks = channels // self.cuda.CHANNELS
            BC, of_chunks = (
                self.empty(blocks, pixels, ORDERS, 2 * states, dtype=dtype),
                torch.empty_like(D),
            )
            self.cuda.chunk_gradients(inputs, (u, dt, BC, A, D, of_chunks))
            bias = of_chunks.sum((0, 1))
        return Gradients(u=u.sum(0), dt=dt, BC=BC, A=A.sum((0, 1)), D=D.sum((0, 1)), bias=bias)

    def launch_gradients(self, inputs: Sequence[Tensor], written: Sequence[Tensor]) -> None:
        """Triton's `chunk_gradients`: its inputs and what it writes, as it declares them."""
        states, dtype = self.A2.shape[1], self.u.dtype
        work = prod(self.states_shape) // (states * self.block)
        programs = min(work, self.resident)
        scratch = self.empty(programs, self.launch.chunk, states, self.block, dtype=dtype)
        fast = self.u.is_cuda and dtype != torch.float32 and min(states, self.block) >= 16
        backward_kernels.chunk_gradients[(programs,)](
            *inputs, scratch, *written, self.block, *self.size,
            FAST=fast, num_stages=1, **self.constants,
        )  # fmt: skip

    @cached_property
    def cuda(self) -> ModuleType | None:
        """The module of the CUDA kernels, where NVRTC is installed and they take these."""
        if not self.u.is_cuda or not (find_spec("cuda") and find_spec("cuda.bindings")):
            return None
        module = import_module("vfimamba_cli.ops.scan.training")
        states, rank = self.A2.shape[1], self.weight.shape[1]
        taken = module.fits(self.u, states=states, rank=rank, chunk=self.launch.chunk)
        return module if taken else None

    @property
    def resident(self) -> int:
        """Programs of the gradients' kernel that a GPU runs at once; on a CPU, a few."""
        if not self.u.is_cuda:
            return 3
        processors = torch.cuda.get_device_properties(self.u.device).multi_processor_count
        return processors * max(8 // self.launch.warps, 1)

    def _move(self, kernel: Any, source: Tensor, out: Tensor, **constants: int) -> None:
        batch, height, width, channels, _ = self.size
        tokens, block = 16, self.block
        grid = (triton.cdiv(2 * height * width, tokens), channels // block, batch)
        kernel[grid](
            source, out, batch, height, width, channels,
            TOKENS=tokens, BLOCK=block, num_warps=4, **constants,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """Of the scan's parts: the first three in the dtype of its inputs, the others fp32.

    Attributes:
        u: (F B P, D).
        dt: before the softplus, (K, F B P, D).
        BC: of B, then of C, by block of channels: (blocks, F B P, K, 2 N), to be summed.
        A: (K, N, D).
        D, bias: (K, D).
    """

    u: Tensor
    dt: Tensor
    BC: Tensor
    A: Tensor
    D: Tensor
    bias: Tensor
