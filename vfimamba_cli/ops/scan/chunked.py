"""The scan in plain PyTorch: differentiable on any device, in bounded memory.

The sequence is cut into M chunks of T tokens. All chunks run side by side, one token at a time,
first for their end states only; a short pass over the chunks turns those into start states; the
second run then yields the outputs. No exponential of a positive number and no quotient of
products occurs, so any dt and A are safe. The backward pass recomputes the states from the
chunks' start states; see README.md for the equations.

B batch, K scan orders, D channels, N states, L tokens, S tokens of a segment (a few positions
of every chunk, whose states are held at once). Inside, positions come first and channels last:
(T, B, K, M, D); states are (B, K, M, N, D).
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_SEGMENT_ELEMENTS = {"cpu": 2**18}  # what stays in a core's cache; no such limit elsewhere
_SEGMENT_ELEMENTS_DEFAULT = 2**24


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> Tensor:
    """`vfimamba_cli.ops.scan.selective_scan`; memory is a small multiple of that of `u` and `dt`.

    Computes in fp32, or in fp64 where `u` is fp64, for gradient checks.
    """
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    u, dt, B, C = u.to(dtype), dt.to(dtype), B.to(dtype), C.to(dtype)
    dt = F.softplus(dt + dt_bias[..., None])
    y: Tensor = _Recurrence.apply(u, dt, A.to(dtype), B, C)  # type: ignore[no-untyped-call]
    return y + D[..., None] * u


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunks:
    """The recurrence's inputs cut into chunks, positions first.

    Attributes:
        dt: (T, B, K, M, D).
        x: dt * u, (T, B, K, M, D).
        A: (K, 1, N, D).
        B, C: (T, B, K, M, N).
    """

    dt: Tensor
    x: Tensor
    A: Tensor
    B: Tensor
    C: Tensor

    def segments(self, length: int) -> list[slice]:
        """The positions of a chunk in runs of `length`, the last one maybe shorter."""
        steps = len(self.dt)
        return [slice(i, min(i + length, steps)) for i in range(0, steps, length)]

    def decay(self, part: slice) -> Tensor:
        """exp(dt A), (S, B, K, M, N, D)."""
        return (self.dt[part][..., None, :] * self.A).exp_()

    def drive(self, part: slice) -> Tensor:
        """What each token adds to the state, dt u B, (S, B, K, M, N, D)."""
        return self.B[part][..., None] * self.x[part][..., None, :]

    def whole_decay(self) -> Tensor:
        """By how much each chunk shrinks the state it was given, (B, K, M, N, D)."""
        return (self.dt.sum(0)[..., None, :] * self.A).exp_()

    def no_state(self) -> Tensor:
        """Zeros, (B, K, M, N, D)."""
        return self.x.new_zeros(*self.B.shape[1:], self.x.shape[-1])


class _Recurrence(torch.autograd.Function):
    """h_l = exp(dt_l A) h_{l-1} + dt_l u_l B_l, y_l = C_l h_l; keeps only chunk start states."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor
    ) -> Tensor:
        with torch.autocast(u.device.type, enabled=False):
            chunks = _cut(u, dt, A, B, C)
            length = _segment_length(chunks)
            h = chunks.no_state()
            for part in chunks.segments(length):
                h = _run(h, chunks.decay(part), chunks.drive(part))
            starts = _pass_on(h, chunks.whole_decay())
            y = torch.empty_like(chunks.x)
            h = starts
            for part in chunks.segments(length):
                states = chunks.drive(part)
                h = _run(h, chunks.decay(part), states)
                y[part] = _contract_states(chunks.C[part], states)
        ctx.save_for_backward(u, dt, A, B, C, starts)
        return _join(y, u.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        u, dt, A, B, C, starts = ctx.saved_tensors
        with torch.autocast(u.device.type, enabled=False):
            chunks = _cut(u, dt, A, B, C)
            grad_y = _split(grad_y, len(chunks.dt))
            grads = _gradients(chunks, starts, grad_y)
        tokens = u.shape[-1]
        grad_x, grad_dt = _join(grads.x, tokens), _join(grads.dt, tokens)
        return (
            grad_x * dt,
            grad_dt + grad_x * u,
            rearrange(grads.A, "k 1 n d -> k d n"),
            _join(grads.B, tokens),
            _join(grads.C, tokens),
        )


def _gradients(chunks: _Chunks, starts: Tensor, grad_y: Tensor) -> _Chunks:
    """The gradient of every field of `chunks`, given (T, B, K, M, D) that of the outputs."""
    length = max(_segment_length(chunks), isqrt(len(chunks.dt)))
    parts = chunks.segments(length)
    carry = chunks.no_state()
    for part in reversed(parts):
        adjoints = _outer(chunks.C[part], grad_y[part])
        carry = _run_back(carry, chunks.decay(part), adjoints)
    carry = _pass_on(carry.flip(2), chunks.whole_decay().flip(2)).flip(2)

    part_starts = [starts]
    for part in parts[:-1]:
        part_starts.append(_run(part_starts[-1], chunks.decay(part), chunks.drive(part)))

    grads = _Chunks(
        **{name: torch.empty_like(getattr(chunks, name)) for name in ("dt", "x", "B", "C")},
        A=torch.zeros_like(chunks.A),
    )
    for part in reversed(parts):
        start = part_starts.pop()
        decay, states = chunks.decay(part), chunks.drive(part)
        _run(start, decay, states)
        adjoints = _outer(chunks.C[part], grad_y[part])
        carry = _run_back(carry, decay, adjoints)
        grads.x[part] = _contract_states(chunks.B[part], adjoints)
        grads.B[part] = _contract_channels(adjoints, chunks.x[part])
        grads.C[part] = _contract_channels(states, grad_y[part])
        exponent = decay.mul_(adjoints)  # becomes the gradient of dt A
        exponent[0].mul_(start)
        exponent[1:].mul_(states[:-1])
        grads.dt[part] = (exponent * chunks.A).sum(-2)
        grads.A.add_((exponent * chunks.dt[part][..., None, :]).sum((0, 1, 3))[:, None])
    return grads


def _run(h: Tensor, decay: Tensor, states: Tensor) -> Tensor:
    """Turn what drives a segment into its states, in place; returns (a view of) the last one.

    Args:
        h: the state before, (B, K, M, N, D).
        decay, states: (S, B, K, M, N, D).
    """
    for a, state in zip(decay, states, strict=True):
        h = state.addcmul_(a, h)
    return h


def _run_back(carry: Tensor, decay: Tensor, adjoints: Tensor) -> Tensor:
    """The same backwards in time: `adjoints`, C dy before, become dLoss/dh.

    Args:
        carry: dLoss/dh that reaches the segment's last state from later tokens, (B, K, M, N, D).
        decay, adjoints: (S, B, K, M, N, D).

    Returns:
        What reaches the state before the segment.
    """
    adjoints[-1].add_(carry)
    for i in range(len(adjoints) - 2, -1, -1):
        adjoints[i].addcmul_(decay[i + 1], adjoints[i + 1])
    return decay[0] * adjoints[0]


def _pass_on(ends: Tensor, decay: Tensor) -> Tensor:
    """Start states of the chunks from the end states they reach from zero; (B, K, M, N, D)."""
    starts = torch.zeros_like(ends)
    for m in range(1, ends.shape[2]):
        torch.addcmul(
            ends[:, :, m - 1], decay[:, :, m - 1], starts[:, :, m - 1], out=starts[:, :, m]
        )
    return starts


def _outer(states: Tensor, channels: Tensor) -> Tensor:
    """(..., N) x (..., D) -> (..., N, D)."""
    return states[..., None] * channels[..., None, :]


def _contract_states(weights: Tensor, states: Tensor) -> Tensor:
    """(..., N) x (..., N, D) -> (..., D)."""
    return (weights[..., None, :] @ states).squeeze(-2)


def _contract_channels(states: Tensor, weights: Tensor) -> Tensor:
    """(..., N, D) x (..., D) -> (..., N)."""
    return (states @ weights[..., None]).squeeze(-1)


def _cut(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> _Chunks:
    steps = _steps(u.shape[-1])
    dt_cut = _split(dt, steps)
    return _Chunks(
        dt=dt_cut,
        x=_split(u, steps).mul_(dt_cut),
        A=rearrange(A, "k d n -> k 1 n d").contiguous(),
        B=_split(B, steps),
        C=_split(C, steps),
    )


def _steps(tokens: int) -> int:
    """T, a power of two: each position costs two runs, each chunk one step of the pass between."""
    return 1 << (max(isqrt(tokens // 2), 1).bit_length())


def _segment_length(chunks: _Chunks) -> int:
    state = chunks.B[0].numel() * chunks.x.shape[-1]
    limit = _SEGMENT_ELEMENTS.get(chunks.x.device.type, _SEGMENT_ELEMENTS_DEFAULT)
    return max(1, min(limit // state, len(chunks.x) // 8))


def _split(x: Tensor, steps: int) -> Tensor:
    """(B, K, X, L) -> (T, B, K, M, X); zeros after the end, which leave every state alone."""
    x = F.pad(x, (0, -x.shape[-1] % steps))
    return rearrange(x, "b k x (m t) -> t b k m x", t=steps).contiguous()


def _join(x: Tensor, tokens: int) -> Tensor:
    """(T, B, K, M, X) -> (B, K, X, L)."""
    return rearrange(x, "t b k m x -> b k x (m t)")[..., :tokens]
