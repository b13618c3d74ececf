# ruff: noqa: PLR0913 - a kernel's arguments and statements
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""The fused scan's kernels; `triton.py` launches them, README.md has design and equations.

F = 2 frames, B batch, D channels, N states, R rank, P = H W pixels, L = 2 P tokens, K = 4 orders,
M chunks of CHUNK pixels (both frames' tokens of each), BLOCK channels to a program.

A sequence visits pixels, and at each pixel both frames. Order k walks rows (k even) or columns
(k odd), from the last token backwards if k >= 2. A row of `u` and `x` is frame f, sample b, pixel
p: (f B + b) P + p; `x` holds for each order R numbers for dt, then B, then C. Sequence position
l = 2 q + f counts forwards along rows or columns whatever the order's direction.

State tiles are (N, BLOCK) with channels last, so that a thread keeps all N states of a channel:
sums over states then need no other thread, and a sum over channels is the only one that does.
Triton would trade that for wider loads if it knew an address to be a multiple of two channels, and
shuffle at every token: so it is not told what divides D, and 2 q is written q + q.
"""

import triton
import triton.language as tl

ORDERS = tl.constexpr(4)
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
EMULATED = tl.constexpr(triton.knobs.runtime.interpret)  # no GPU: NumPy runs the kernels


@triton.jit
def _log2(x):
    """One instruction of the GPU's, absolute error 2^-22 for x in [1/2, 2]; `tl.log2` takes 20."""
    if EMULATED:
        return tl.log2(x)
    return tl.inline_asm_elementwise(
        "lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def softplus(x):
    """log(1 + e^x): x itself from 15 on, where fp32 knows no more, a series where
    1 + e^x would round e^x away."""
    e = tl.exp2(tl.minimum(x, 15.0) * LOG2_E)
    series = e * (1.0 - e * (0.5 - e * (0.33333333 - e * (0.25 - e * 0.2))))
    return tl.where(x > 15.0, x, tl.where(e < 0.1, series, _log2(1.0 + e) * LN_2))


@triton.jit
def softplus_slope(x):
    """The derivative of `softplus`."""
    e = tl.exp2(tl.minimum(x, 15.0) * LOG2_E)
    return tl.where(x > 15.0, 1.0, e / (1.0 + e))


@triton.jit
def pixel_at(q, columns, height, width):
    """The pixel that is number q along the rows, or along the columns."""
    return tl.where(columns == 1, (q % height) * width + q // height, q)


@triton.jit
def neighbor(p, stride, pixels):
    """The next pixel: `stride` is 1 along rows and the width along columns, negative backwards.

    Leaving the map at one end of a column, it goes on at the other end of the next.
    """
    p += stride
    p = tl.where(p >= pixels, p - (pixels - 1), p)
    return tl.where(p < 0, p + (pixels - 1), p)


@triton.jit
def states_at(pointer, index, d, channels, N: tl.constexpr):
    """Pointers to tile number `index` of (..., N, D)."""
    n = tl.arange(0, N).to(tl.int64)
    return pointer + (index.to(tl.int64) * N + n)[:, None] * channels + d[None, :]


@triton.jit
def lift(pointer, k, d, channels, RANK: tl.constexpr, PADDED: tl.constexpr):
    """dt_weight of order k as a (PADDED, BLOCK) tile, from (K, R, D)."""
    r = tl.arange(0, PADDED)
    pointers = pointer + (k * RANK + r)[:, None] * channels + d[None, :]
    if PADDED == RANK:
        return tl.load(pointers)
    return tl.load(pointers, mask=(r < RANK)[:, None], other=0.0)


@triton.jit
def low_rank(x_row, RANK: tl.constexpr, PADDED: tl.constexpr):
    """The (PADDED,) numbers dt is made of."""
    r = tl.arange(0, PADDED)
    if PADDED == RANK:
        return tl.load(x_row + r)
    return tl.load(x_row + r, mask=r < RANK, other=0.0)


@triton.jit
def raw_dt(low, weight, bias):
    """dt before the softplus, (BLOCK,)."""
    return tl.sum(weight * low.to(tl.float32)[:, None], 0) + bias


@triton.jit
def driven(h, decay, B, dt_u):
    """h_l = decay h_{l-1} + B_l (dt_l u_l)."""
    return decay * h + B.to(tl.float32)[:, None] * dt_u[None, :]


@triton.jit(do_not_specialize=["channels"])
def chunk_ends(
    u, x, A2, weight, bias, ends, totals,
    batch, height, width, channels, chunks,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr, N: tl.constexpr,
    RANK: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    """What each chunk ends with when it starts from zero, (B, M, K, N, D), and its sum of dt."""
    d = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    b, k = tl.program_id(2) // ORDERS, tl.program_id(2) % ORDERS
    columns, backwards = k % 2, k // 2
    pixels = height * width
    count = tl.minimum(CHUNK, pixels - chunk * CHUNK)
    p = pixel_at(chunk * CHUNK + backwards * (count - 1), columns, height, width)
    stride = tl.where(columns == 1, width, 1) * (1 - 2 * backwards)
    WIDTH: tl.constexpr = RANK + 2 * N
    x += k * WIDTH
    n = tl.arange(0, N)

    A = tl.load(states_at(A2, k, d, channels, N))
    W = lift(weight, k, d, channels, RANK, PADDED)
    shift = tl.load(bias + k * channels + d)
    h = tl.zeros((N, BLOCK), dtype=tl.float32)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for _ in range(count):
        for j in tl.static_range(2):
            row = (((j ^ backwards) * batch + b) * pixels + p).to(tl.int64)
            x_row = x + row * (ORDERS * WIDTH)
            dt = softplus(raw_dt(low_rank(x_row, RANK, PADDED), W, shift))
            u_l = tl.load(u + row * channels + d).to(tl.float32)
            B = tl.load(x_row + RANK + n)
            h = driven(h, tl.exp2(A * dt[None, :]), B, dt * u_l)
            total += dt
        p = neighbor(p, stride, pixels)
    index = (b * chunks + chunk) * ORDERS + k
    tl.store(states_at(ends, index, d, channels, N), h)
    tl.store(totals + index.to(tl.int64) * channels + d, total)


@triton.jit
def pass_states(
    ends, totals, A2, starts,
    channels, chunks, against,
    BLOCK: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """From chunks' ends to what they truly start from: start = decay of chunk * start + end.

    `against` = 1 hands on against each order's direction, as adjoints go.
    """
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < N * channels
    b, k = tl.program_id(1) // ORDERS, tl.program_id(1) % ORDERS
    flip = (k // 2) ^ against
    A = tl.load(A2 + k * N * channels + lane, mask=inside, other=0.0)
    carry = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in tl.range(0, chunks, num_stages=6):
        chunk = tl.where(flip == 1, chunks - 1 - i, i)
        index = ((b * chunks + chunk) * ORDERS + k).to(tl.int64)
        at = index * N * channels + lane
        end = tl.load(ends + at, mask=inside, other=0.0)
        total = tl.load(totals + index * channels + lane % channels, mask=inside, other=0.0)
        tl.store(starts + at, carry, mask=inside)
        carry = tl.exp2(A * total) * carry + end


@triton.jit(do_not_specialize=["channels"])
def chunk_outputs(
    u, x, A2, weight, bias, skip, starts, y,
    batch, height, width, channels, chunks,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr, N: tl.constexpr,
    RANK: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    """Both directions' outputs of a chunk, summed, by sequence position: y is (2, B, L, D).

    The reverse follows the forward direction over tokens that are still in the cache. `skip` is
    (2, D), the sum of both directions' D.
    """
    d = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    b, columns = tl.program_id(2) // 2, tl.program_id(2) % 2
    pixels = height * width
    count = tl.minimum(CHUNK, pixels - chunk * CHUNK)
    WIDTH: tl.constexpr = RANK + 2 * N
    n = tl.arange(0, N)
    D = tl.load(skip + columns * channels + d)

    for backwards in tl.static_range(2):
        k = columns + 2 * backwards
        A = tl.load(states_at(A2, k, d, channels, N))
        W = lift(weight, k, d, channels, RANK, PADDED)
        shift = tl.load(bias + k * channels + d)
        h = tl.load(states_at(starts, (b * chunks + chunk) * ORDERS + k, d, channels, N))
        q = chunk * CHUNK + backwards * (count - 1)
        p = pixel_at(q, columns, height, width)
        stride = tl.where(columns == 1, width, 1) * (1 - 2 * backwards)
        tl.debug_barrier()  # the reverse adds to what the forward direction has stored
        for _ in range(count):
            # Both tokens' loads come before the first store, past which none could be moved.
            row = ((backwards * batch + b) * pixels + p).to(tl.int64)
            row_2 = (((1 - backwards) * batch + b) * pixels + p).to(tl.int64)
            x_row = x + row * (ORDERS * WIDTH) + k * WIDTH
            x_row_2 = x + row_2 * (ORDERS * WIDTH) + k * WIDTH
            low, low_2 = low_rank(x_row, RANK, PADDED), low_rank(x_row_2, RANK, PADDED)
            B, B_2 = tl.load(x_row + RANK + n), tl.load(x_row_2 + RANK + n)
            C, C_2 = tl.load(x_row + (RANK + N) + n), tl.load(x_row_2 + (RANK + N) + n)
            u_l = tl.load(u + row * channels + d).to(tl.float32)
            u_2 = tl.load(u + row_2 * channels + d).to(tl.float32)
            to = ((columns * batch + b) * pixels + q).to(tl.int64)
            y_1 = y + (to + to + backwards) * channels + d  # 2 * to: see the module's docstring
            y_2 = y + (to + to + (1 - backwards)) * channels + d
            if backwards:
                out, out_2 = tl.load(y_1).to(tl.float32), tl.load(y_2).to(tl.float32)
            else:
                out, out_2 = D * u_l, D * u_2

            dt = softplus(raw_dt(low, W, shift))
            dt_2 = softplus(raw_dt(low_2, W, shift))
            h = driven(h, tl.exp2(A * dt[None, :]), B, dt * u_l)
            out += tl.sum(C.to(tl.float32)[:, None] * h, 0)
            h = driven(h, tl.exp2(A * dt_2[None, :]), B_2, dt_2 * u_2)
            out_2 += tl.sum(C_2.to(tl.float32)[:, None] * h, 0)
            tl.store(y_1, out.to(y.dtype.element_ty))
            tl.store(y_2, out_2.to(y.dtype.element_ty))
            q += 1 - 2 * backwards
            p = neighbor(p, stride, pixels)


@triton.jit
def column_position(j, height, width, EXACT: tl.constexpr):
    """Which column position belongs to grid position j = 2 p + f; README.md, "Column merge"."""
    if EXACT:
        p = j // 2
        return 2 * ((p % width) * height + p // width) + j % 2
    pixels = height * width
    p = j % pixels
    return (j // pixels) * pixels + (p % width) * height + p // width


@triton.jit
def merge(
    y, out, batch, height, width, channels,
    PARTS: tl.constexpr, EXACT: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Row and column outputs by sequence position, (PARTS, 2, B, L, D), onto (F, B, P, D)."""
    length = 2 * height * width
    j = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    d = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK))[None, :]
    b, inside = tl.program_id(2), (j < length)[:, None]
    by_row = (b * length + j).to(tl.int64)[:, None] * channels + d
    column = column_position(j, height, width, EXACT)
    by_column = ((batch + b) * length + column).to(tl.int64)[:, None] * channels + d
    total = tl.load(y + by_row, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(y + by_column, mask=inside, other=0.0).to(tl.float32)
    for _ in tl.static_range(PARTS - 1):
        y += 2 * batch * length * channels
        total += tl.load(y + by_row, mask=inside, other=0.0).to(tl.float32)
        total += tl.load(y + by_column, mask=inside, other=0.0).to(tl.float32)
    row = (((j % 2) * batch + b) * (length // 2) + j // 2).to(tl.int64)[:, None]
    tl.store(out + row * channels + d, total.to(out.dtype.element_ty), mask=inside)
