# ruff: noqa: PLR0913, PLR0915 - a kernel's arguments and statements
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""The fused scan's backward kernels, by recomputation; letters and layout as in `triton_kernels`.

Every program writes what is its own, and sums over programs are taken afterwards: no atomics, so
the same inputs give the same gradients.
"""

import triton
import triton.language as tl

from vfimamba_cli.ops.scan.triton_kernels import (
    LN_2,
    ORDERS,
    column_position,
    driven,
    lift,
    low_rank,
    neighbor,
    pixel_at,
    raw_dt,
    softplus,
    softplus_slope,
    states_at,
)


@triton.jit
def spread(
    grad, out, batch, height, width, channels,
    EXACT: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The transpose of `merge`: (F, B, P, D) to row and column positions, (2, B, L, D)."""
    length = 2 * height * width
    j = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    d = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK))[None, :]
    b, inside = tl.program_id(2), (j < length)[:, None]
    row = (((j % 2) * batch + b) * (length // 2) + j // 2).to(tl.int64)[:, None]
    value = tl.load(grad + row * channels + d, mask=inside, other=0.0).to(out.dtype.element_ty)
    tl.store(out + (b * length + j).to(tl.int64)[:, None] * channels + d, value, mask=inside)
    column = ((batch + b) * length + column_position(j, height, width, EXACT)).to(tl.int64)
    tl.store(out + column[:, None] * channels + d, value, mask=inside)


@triton.jit(do_not_specialize=["channels"])
def chunk_adjoints(
    x, A2, weight, bias, grad, ends,
    batch, height, width, channels, chunks,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr, N: tl.constexpr,
    RANK: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    """What each chunk hands to the state before it when nothing comes from later chunks.

    From the chunk's last token to its first: c <- exp(dt_l A) (C_l dLoss/dy_l + c).
    """
    d = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    b, k = tl.program_id(2) // ORDERS, tl.program_id(2) % ORDERS
    columns, against = k % 2, 1 - k // 2
    pixels = height * width
    count = tl.minimum(CHUNK, pixels - chunk * CHUNK)
    q = chunk * CHUNK + against * (count - 1)
    p = pixel_at(q, columns, height, width)
    stride = tl.where(columns == 1, width, 1) * (1 - 2 * against)
    WIDTH: tl.constexpr = RANK + 2 * N
    n = tl.arange(0, N)

    A = tl.load(states_at(A2, k, d, channels, N))
    W = lift(weight, k, d, channels, RANK, PADDED)
    shift = tl.load(bias + k * channels + d)
    carry = tl.zeros((N, BLOCK), dtype=tl.float32)
    for _ in range(count):
        for j in tl.static_range(2):
            frame = j ^ against
            row = ((frame * batch + b) * pixels + p).to(tl.int64)
            x_row = x + row * (ORDERS * WIDTH) + k * WIDTH
            dt = softplus(raw_dt(low_rank(x_row, RANK, PADDED), W, shift))
            C = tl.load(x_row + (RANK + N) + n).to(tl.float32)
            at = ((columns * batch + b) * pixels + q).to(tl.int64)
            dy = tl.load(grad + (at + at + frame) * channels + d).to(tl.float32)
            carry = tl.exp2(A * dt[None, :]) * (carry + C[:, None] * dy[None, :])
        q += 1 - 2 * against
        p = neighbor(p, stride, pixels)
    tl.store(states_at(ends, (b * chunks + chunk) * ORDERS + k, d, channels, N), carry)


@triton.jit
def _stacked(a, b, N: tl.constexpr, BLOCK: tl.constexpr):
    """Two (N, BLOCK) tiles as one (2 N, BLOCK); all stays in the threads it is in."""
    return tl.reshape(tl.permute(tl.join(a, b), (2, 0, 1)), (2 * N, BLOCK))


@triton.jit
def _store_channel_sums(
    first, second, out, to, to_2,
    FAST: tl.constexpr, BLOCK: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Store the sums over channels of two tokens' tiles, each of B and C stacked, (2 N, BLOCK),
    at `to` and `to_2` of `out`.

    FAST, a tensor core takes them, of bf16 values: a tenth of the instructions, and as exact as
    what is summed where inputs are in half precision.
    """
    n = tl.arange(0, 2 * N)
    if FAST:
        m = tl.arange(0, 4 * N)
        column = tl.arange(0, 16)
        tile = _stacked(first.to(tl.bfloat16), second.to(tl.bfloat16), 2 * N, BLOCK)
        ones = tl.full((BLOCK, 16), 1.0, dtype=tl.bfloat16)
        sums = tl.dot(tile, ones)  # in every column the same
        row = tl.where(m < 2 * N, to + m, to_2 + (m - 2 * N))[:, None] + 0 * column[None, :]
        only = (m[:, None] >= 0) & (column[None, :] == 0)
        tl.store(out + row, sums.to(out.dtype.element_ty), mask=only)
    else:
        tl.store(out + to + n, tl.sum(first, 1).to(out.dtype.element_ty))
        tl.store(out + to_2 + n, tl.sum(second, 1).to(out.dtype.element_ty))


@triton.jit
def _store_token(
    adjoint, before, h, decay, A, dt, raw, u_l, dy, B, D,
    grad_u, grad_dt, at, channels, BLOCK: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Write one token's gradients; return its share of dA / dt's unit, (N, BLOCK), and that of
    every channel in the gradients of B and C, (2 N, BLOCK)."""
    d = tl.arange(0, BLOCK)
    through = tl.sum(adjoint * B[:, None], 0)  # dLoss / d(dt u)
    exponent = adjoint * decay * before  # dLoss / d(dt A)
    slope = softplus_slope(raw)
    value = through * dt + D * dy
    tl.store(grad_u + at * channels + d, value.to(grad_u.dtype.element_ty))
    value = (through * u_l + tl.sum(exponent * A, 0) * LN_2) * slope
    tl.store(grad_dt + at * channels + d, value.to(grad_dt.dtype.element_ty))
    shares = _stacked(adjoint * (dt * u_l)[None, :], h * dy[None, :], N, BLOCK)
    return exponent * dt[None, :], shares


@triton.jit(do_not_specialize=["channels", "lanes"])
def chunk_gradients(
    u, x, A2, weight, bias, skip, starts, carries, grad, scratch,
    grad_u, grad_dt, grad_B, grad_A, grad_D,
    lanes, batch, height, width, channels, chunks,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr, N: tl.constexpr,
    RANK: tl.constexpr, PADDED: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """All gradients of a chunk: its states in one sweep, kept before each pixel, then back.

    A program takes one chunk after another, so that what it keeps, (CHUNK, N, BLOCK) of `scratch`
    (programs, CHUNK, N, BLOCK), stays in the cache. `lanes` is BLOCK, not told to the compiler.
    Writes grad_u and grad_dt (before the softplus), (K, F, B, P, D); grad_B, of B and C by block
    of channels, (blocks, F, B, P, K, 2 N); grad_A (B, M, K, N, D) and grad_D (B, M, K, D).
    """
    blocks = channels // BLOCK
    for work in range(tl.program_id(0), blocks * chunks * batch * ORDERS, tl.num_programs(0)):
        block, sequence = work % blocks, work // blocks
        k, chunk, b = sequence % ORDERS, sequence // ORDERS % chunks, sequence // ORDERS // chunks
        _chunk_gradients(
            u, x, A2, weight, bias, skip, starts, carries, grad,
            scratch, grad_u, grad_dt, grad_B, grad_A, grad_D,
            block, chunk, b, k, lanes, batch, height, width, channels, chunks,
            CHUNK, BLOCK, N, RANK, PADDED, FAST,
        )  # fmt: skip


@triton.jit
def _chunk_gradients(
    u, x, A2, weight, bias, skip, starts, carries, grad,
    scratch, grad_u, grad_dt, grad_B, grad_A, grad_D,
    block, chunk, b, k, lanes, batch, height, width, channels, chunks,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr, N: tl.constexpr,
    RANK: tl.constexpr, PADDED: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Those of one chunk, order, sample and block of channels."""
    lane = tl.arange(0, BLOCK)
    d = block * BLOCK + lane
    columns, backwards = k % 2, k // 2
    pixels = height * width
    count = tl.minimum(CHUNK, pixels - chunk * CHUNK)
    q = chunk * CHUNK + backwards * (count - 1)
    p = pixel_at(q, columns, height, width)
    stride = tl.where(columns == 1, width, 1) * (1 - 2 * backwards)
    WIDTH: tl.constexpr = RANK + 2 * N
    n = tl.arange(0, N)
    x += k * WIDTH
    tile = (b * chunks + chunk) * ORDERS + k
    kept = tl.program_id(0).to(tl.int64) * CHUNK

    A = tl.load(states_at(A2, k, d, channels, N))
    W = lift(weight, k, d, channels, RANK, PADDED)
    shift = tl.load(bias + k * channels + d)
    D = tl.load(skip + k * channels + d)
    h = tl.load(states_at(starts, tile, d, channels, N))
    tl.debug_barrier()  # all have read what was kept of the chunk before
    for i in range(count):
        tl.store(states_at(scratch, kept + i, lane, lanes, N), h.to(scratch.dtype.element_ty))
        for j in tl.static_range(2):
            row = (((j ^ backwards) * batch + b) * pixels + p).to(tl.int64)
            x_row = x + row * (ORDERS * WIDTH)
            dt = softplus(raw_dt(low_rank(x_row, RANK, PADDED), W, shift))
            u_l = tl.load(u + row * channels + d).to(tl.float32)
            h = driven(h, tl.exp2(A * dt[None, :]), tl.load(x_row + RANK + n), dt * u_l)
        p = neighbor(p, stride, pixels)

    tl.debug_barrier()
    sum_A = tl.zeros((N, BLOCK), dtype=tl.float32)
    sum_D = tl.zeros((BLOCK,), dtype=tl.float32)
    carry = tl.load(states_at(carries, tile, d, channels, N))
    q += (1 - 2 * backwards) * (count - 1)
    p = pixel_at(q, columns, height, width)
    of_order = k.to(tl.int64) * 2 * batch * pixels
    of_block = block.to(tl.int64) * 2 * batch * pixels
    for i in range(count):
        last = kept + count - 1 - i
        before = tl.load(states_at(scratch, last, lane, lanes, N)).to(tl.float32)
        row = ((backwards * batch + b) * pixels + p).to(tl.int64)
        row_2 = (((1 - backwards) * batch + b) * pixels + p).to(tl.int64)
        x_row = x + row * (ORDERS * WIDTH)
        x_row_2 = x + row_2 * (ORDERS * WIDTH)
        at = ((columns * batch + b) * pixels + q).to(tl.int64)
        raw = raw_dt(low_rank(x_row, RANK, PADDED), W, shift)
        raw_2 = raw_dt(low_rank(x_row_2, RANK, PADDED), W, shift)
        B = tl.load(x_row + RANK + n).to(tl.float32)
        B_2 = tl.load(x_row_2 + RANK + n).to(tl.float32)
        C = tl.load(x_row + (RANK + N) + n).to(tl.float32)
        C_2 = tl.load(x_row_2 + (RANK + N) + n).to(tl.float32)
        u_l = tl.load(u + row * channels + d).to(tl.float32)
        u_2 = tl.load(u + row_2 * channels + d).to(tl.float32)
        dy = tl.load(grad + (at + at + backwards) * channels + d).to(tl.float32)
        dy_2 = tl.load(grad + (at + at + (1 - backwards)) * channels + d).to(tl.float32)

        dt, dt_2 = softplus(raw), softplus(raw_2)
        decay, decay_2 = tl.exp2(A * dt[None, :]), tl.exp2(A * dt_2[None, :])
        h = driven(before, decay, B, dt * u_l)
        h_2 = driven(h, decay_2, B_2, dt_2 * u_2)
        adjoint = carry + C_2[:, None] * dy_2[None, :]
        share, shares_2 = _store_token(
            adjoint, h, h_2, decay_2, A, dt_2, raw_2, u_2, dy_2, B_2, D,
            grad_u + block * BLOCK, grad_dt + block * BLOCK, of_order + row_2, channels, BLOCK, N,
        )  # fmt: skip
        sum_A += share
        adjoint = decay_2 * adjoint + C[:, None] * dy[None, :]
        share, shares = _store_token(
            adjoint, before, h, decay, A, dt, raw, u_l, dy, B, D,
            grad_u + block * BLOCK, grad_dt + block * BLOCK, of_order + row, channels, BLOCK, N,
        )  # fmt: skip
        sum_A += share
        _store_channel_sums(
            shares, shares_2, grad_B,
            ((of_block + row) * ORDERS + k) * (2 * N),
            ((of_block + row_2) * ORDERS + k) * (2 * N),
            FAST, BLOCK, N,
        )  # fmt: skip
        carry = decay * adjoint
        sum_D += dy * u_l + dy_2 * u_2
        q -= 1 - 2 * backwards
        p = neighbor(p, -stride, pixels)
    tl.store(states_at(grad_A, tile, d, channels, N), sum_A)
    tl.store(grad_D + tile.to(tl.int64) * channels + d, sum_D)
