"""The scan in plain PyTorch: differentiable on any device, in bounded memory.

The sequence is cut into M chunks of T tokens. All chunks run side by side, one position at a
time, first for their end states only; a short pass over the chunks turns those into start states;
the second run then yields the outputs. No exponential of a positive number and no quotient of
products occurs, so any dt and A are safe. The backward pass recomputes the states from the
chunks' start states; README.md has the equations.

B batch, K scan orders, D channels, N states, L tokens, S positions of a segment: a few positions
of every chunk, whose states are held at once. Inside, positions come first and channels last:
(T, B, K, M, D); states are (B, K, M, N, D).
"""

from dataclasses import dataclass, fields
from itertools import pairwise
from math import isqrt, prod
from typing import Any, Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_CACHED = 2**17  # elements a CPU operation works on: a few such tensors fit in the caches
_LAUNCHED = 2**24  # elements that make an operation elsewhere worth its launch


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> Tensor:
    """`vfimamba_cli.ops.scan.selective_scan`; memory is a small multiple of that of `u` and `dt`.

    Computes in fp32, or in fp64 where `u` is fp64, for gradient checks.
    """
    y: Tensor = _Scan.apply(u, dt, A, B, C, D, dt_bias)  # type: ignore[no-untyped-call]
    return y


class _Scan(torch.autograd.Function):
    """Keeps its inputs and the chunks' start states, nothing else."""

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: Tensor) -> Tensor:
        u, dt, A, B, C, D, dt_bias = inputs
        with torch.autocast(u.device.type, enabled=False):
            chunks = _Chunks.cut(u, dt, A, B, C, dt_bias)
            run = _Run.over(chunks)
            starts = _starts(run)
            run.states[0].copy_(starts)
            y = chunks.u * D.to(chunks.u.dtype)[:, None]
            for part in run.parts:
                states = run.forward(part, run.decay_of(part))
                y[part] += _contract_states(chunks.C[part], states)
        ctx.save_for_backward(*inputs, starts)
        return _join(y, u.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        u, dt, A, B, C, D, dt_bias, starts = ctx.saved_tensors
        with torch.autocast(u.device.type, enabled=False):
            chunks = _Chunks.cut(u, dt, A, B, C, dt_bias)
            grad_y = _split(grad_y, len(chunks.dt), chunks.u.dtype)
            grads = _gradients(chunks, starts, grad_y)
            grads.dt.addcmul_(grads.x, chunks.u).mul_(torch.expm1(-chunks.dt).neg_())
            grads.u.copy_(grads.x * chunks.dt).addcmul_(grad_y, D.to(grad_y.dtype)[:, None])
        tokens = u.shape[-1]
        return (
            _join(grads.u, tokens),
            _join(grads.dt, tokens),
            rearrange(grads.A, "k 1 n d -> k d n"),
            _join(grads.B, tokens),
            _join(grads.C, tokens),
            (grad_y * chunks.u).sum((0, 1, 3)),
            grads.dt.sum((0, 1, 3)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunks:
    """The recurrence's inputs cut into chunks, positions first.

    Attributes:
        dt: after the softplus, (T, B, K, M, D).
        u: (T, B, K, M, D).
        x: dt * u, (T, B, K, M, D).
        A: (K, 1, N, D).
        B, C: (T, B, K, M, N).
    """

    dt: Tensor
    u: Tensor
    x: Tensor
    A: Tensor
    B: Tensor
    C: Tensor

    @classmethod
    def cut(cls, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, dt_bias: Tensor) -> Self:
        """From the arguments of `selective_scan`."""
        dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
        steps = _steps(u, A.shape[-1])
        u = _split(u, steps, dtype)
        dt = F.softplus(_split(dt, steps, dtype).add_(dt_bias.to(dtype)[:, None]))
        A = rearrange(A.to(dtype), "k d n -> k 1 n d").contiguous()
        B, C = _split(B, steps, dtype), _split(C, steps, dtype)
        return cls(dt=dt, u=u, x=dt * u, A=A, B=B, C=C)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Walks all chunks at once, segment by segment, in buffers that are used again and again.

    Attributes:
        chunks: what drives the states.
        parts: the segments, as slices of positions.
        decay: exp(dt A) of a segment, (S, B, K, M, N, D).
        states: the state before a segment, zero at first, then room for those after each of its
            positions, (S + 1, B, K, M, N, D).
    """

    chunks: _Chunks
    parts: tuple[slice, ...]
    decay: Tensor
    states: Tensor

    @classmethod
    def over(cls, chunks: _Chunks, *, shortest: int = 1) -> Self:
        """With segments as long as the device likes, but not under `shortest` positions."""
        steps = len(chunks.dt)
        size = (*chunks.B.shape[1:], chunks.dt.shape[-1])
        length = max(_segment_length(prod(size), steps, chunks.dt.device), shortest)
        return cls(
            chunks=chunks,
            parts=tuple(slice(i, min(i + length, steps)) for i in range(0, steps, length)),
            decay=chunks.dt.new_empty(length, *size),
            states=chunks.dt.new_zeros(length + 1, *size),
        )

    def forward(self, part: slice, decay: Tensor) -> Tensor:
        """The states after each position of `part`, (S, B, K, M, N, D), until the next call."""
        states = self.states[1 : len(decay) + 1]
        _outer(self.chunks.B[part], self.chunks.x[part], out=states)
        before = self.states[0]
        for a, state in zip(decay, states, strict=True):
            before = state.addcmul_(a, before)
        self.states[0].copy_(before)
        return states

    def decay_of(self, part: slice) -> Tensor:
        """exp(dt A) at each position of `part`, (S, B, K, M, N, D), until the next call."""
        decay = self.decay[: part.stop - part.start]
        dt = self.chunks.dt[part]
        return torch.mul(dt[..., None, :], self.chunks.A, out=decay).exp_()


def _starts(run: _Run) -> Tensor:
    """The state each chunk starts from, (B, K, M, N, D)."""
    ends = run.states[0]
    if ends.shape[2] > 1:
        for part in run.parts:
            run.forward(part, run.decay_of(part))
    return _pass_on(ends, run.chunks)


def _gradients(chunks: _Chunks, starts: Tensor, grad_y: Tensor) -> _Chunks:
    """The gradient of every field of `chunks`, given (T, B, K, M, D) that of the outputs.

    That of `u` is left zero: here it counts through `x` alone.
    """
    run = _Run.over(chunks, shortest=isqrt(len(chunks.dt)))
    back = torch.empty_like(run.decay)
    carry = _carries(run, grad_y, back)

    run.states[0].copy_(starts)
    part_starts = []
    for part in run.parts:
        part_starts.append(run.states[0].clone())
        run.forward(part, run.decay_of(part))

    grads = _Chunks(**{f.name: torch.zeros_like(getattr(chunks, f.name)) for f in fields(chunks)})
    for part in reversed(run.parts):
        start, decay = part_starts.pop(), run.decay_of(part)
        run.states[0].copy_(start)
        states = run.forward(part, decay)
        adjoints, carry = _adjoints(chunks.C[part], decay, grad_y[part], carry, out=back)
        grads.x[part] = _contract_states(chunks.B[part], adjoints)
        grads.B[part] = _contract_channels(adjoints, chunks.x[part])
        grads.C[part] = _contract_channels(states, grad_y[part])
        exponent = adjoints.mul_(decay)  # becomes the gradient of dt A
        exponent[0].mul_(start)
        exponent[1:].mul_(states[:-1])
        torch.sum(torch.mul(exponent, chunks.A, out=decay), -2, out=grads.dt[part])
        grads.A.add_(exponent.mul_(chunks.dt[part][..., None, :]).sum((0, 1, 3))[:, None])
    return grads


def _carries(run: _Run, grad_y: Tensor, back: Tensor) -> Tensor:
    """What reaches the last state of each chunk from later chunks, (B, K, M, N, D)."""
    carry = torch.zeros_like(run.states[0])
    if carry.shape[2] > 1:
        for part in reversed(run.parts):
            decay = run.decay_of(part)
            carry = _adjoints(run.chunks.C[part], decay, grad_y[part], carry, out=back)[1]
    return _pass_on(carry.flip(2), run.chunks, backwards=True).flip(2)


def _adjoints(
    C: Tensor, decay: Tensor, grad_y: Tensor, carry: Tensor, *, out: Tensor
) -> tuple[Tensor, Tensor]:
    """dLoss/dh after each position of a segment, going backwards in time.

    Args:
        C: (S, B, K, M, N).
        decay: (S, B, K, M, N, D).
        grad_y: dLoss/dy, (S, B, K, M, D).
        carry: what reaches the segment's last state from later tokens, (B, K, M, N, D).
        out: room for S positions or more.

    Returns:
        (S, B, K, M, N, D), and what reaches the state before the segment, (B, K, M, N, D).
    """
    adjoints = _outer(C, grad_y, out=out[: len(decay)])
    adjoints[-1].add_(carry)
    for i in range(len(adjoints) - 2, -1, -1):
        adjoints[i].addcmul_(decay[i + 1], adjoints[i + 1])
    return adjoints, decay[0] * adjoints[0]


def _pass_on(ends: Tensor, chunks: _Chunks, *, backwards: bool = False) -> Tensor:
    """From what each chunk ends with when it starts from zero, what it truly starts from.

    Args:
        ends: (B, K, M, N, D).
        chunks: for how much of its start a chunk keeps.
        backwards: the chunks of `ends` are in reverse order.
    """
    starts = torch.zeros_like(ends)
    if ends.shape[2] == 1:
        return starts
    kept = (chunks.dt.sum(0)[..., None, :] * chunks.A).exp_()
    if backwards:
        kept = kept.flip(2)
    for end, keep, (start, following) in zip(
        ends.unbind(2), kept.unbind(2), pairwise(starts.unbind(2)), strict=False
    ):
        torch.addcmul(end, keep, start, out=following)
    return starts


def _outer(states: Tensor, channels: Tensor, *, out: Tensor) -> Tensor:
    """(..., N) x (..., D) -> (..., N, D)."""
    return torch.mul(states[..., None], channels[..., None, :], out=out)


def _contract_states(weights: Tensor, states: Tensor) -> Tensor:
    """(..., N) x (..., N, D) -> (..., D)."""
    return (weights[..., None, :] @ states).squeeze(-2)


def _contract_channels(states: Tensor, weights: Tensor) -> Tensor:
    """(..., N, D) x (..., D) -> (..., N)."""
    return (states @ weights[..., None]).squeeze(-1)


def _steps(u: Tensor, states: int) -> int:
    """T, the tokens of a chunk.

    On a CPU as many chunks run side by side as keep an operation's tensors in the cache.
    Elsewhere the number of operations is kept low: two per position and one per chunk.
    """
    tokens = u.shape[-1]
    if u.device.type == "cpu":
        chunks = max(1, _CACHED // (2 * u[..., 0].numel() * states))
        return -(-tokens // chunks)
    return max(1, isqrt(tokens // 2))


def _segment_length(state: int, steps: int, device: torch.device) -> int:
    """S, given T and the elements of all chunks' states at one position."""
    limit = _CACHED if device.type == "cpu" else _LAUNCHED
    return max(1, min(limit // state, steps // 8))


def _split(x: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """(B, K, X, L) -> (T, B, K, M, X), zeros after the end."""
    tokens = x.shape[-1]
    padded = -(-tokens // steps) * steps
    tokens_first = x.new_empty(*x.shape[:2], padded, x.shape[2], dtype=dtype)
    tokens_first[:, :, :tokens] = x.transpose(-1, -2)
    tokens_first[:, :, tokens:] = 0
    return rearrange(tokens_first, "b k (m t) x -> t b k m x", t=steps)


def _join(x: Tensor, tokens: int) -> Tensor:
    """(T, B, K, M, X) -> (B, K, X, L)."""
    return rearrange(x, "t b k m x -> b k x (m t)")[..., :tokens].contiguous()
