// From channels-last activations to the planes `lanes.cu` scans, and back; README.md, "Lanes".
//
// F = 2 frames, B batch, D channels, L = 2 H W tokens, K = 4 orders. Tensors with channels last are
// (F, B, H, W, D). A block turns a tile over in shared memory, so that both sides are read and
// written in pieces of 8 or 16 bytes, in runs of at least 32.
//
// Compiled at run time for -DTYPE (0 fp32, 1 fp16, 2 bf16) and
//   ALONG_W, ALONG_H   tokens of a plane that are aligned and moved at once, in rows' order and in
//                      columns'; at most 16 bytes. Of `convolve` and the exact merge at least 2;
//   ALIGNED            whether 16 bytes of a pixel can be read at once, and 4 channels written;
//   EXACT              of `merge`, undefined for `convolve`: which column merge;
//   TALL, WIDE, SHEETS of `merge`: its tile in places, and its channels.

#include "memory.cuh"
#include "numbers.cuh"

#if TYPE == 0
typedef float Number;
#else
typedef u16 Number;
#endif

constexpr int SIZE = sizeof(Number);
constexpr int THREADS = 256, WARPS = THREADS / 32;

__device__ float half_to_float(u16 v) {
  float y;
  if (TYPE == 2) return __uint_as_float((u32)v << 16);
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(v));
  return y;
}

__device__ float silu(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(1.0f + exp2_fast(x * -LOG2_E)));
  return x * y;
}

__device__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// BYTES of numbers side by side in memory, 2 to 16 of them: one access.
template <int BYTES> struct Run {
  u32 w[(BYTES + 3) / 4] = {};

  __device__ float at(int i) const {
    if constexpr (TYPE == 0) return __uint_as_float(w[i]);
    return half_to_float(i & 1 ? w[i / 2] >> 16 : w[i / 2] & 0xffff);
  }

  __device__ Number number(int i) const {
    if constexpr (TYPE == 0) return at(i);
    return w[i / 2] >> i % 2 * 16;
  }

  __device__ void load(const void *from) {
    if constexpr (BYTES == 16) {
      uint4 v = *(const uint4 *)from;
      w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
    } else if constexpr (BYTES == 8) {
      uint2 v = *(const uint2 *)from;
      w[0] = v.x, w[1] = v.y;
    } else {
      w[0] = BYTES == 4 ? *(const u32 *)from : *(const u16 *)from;
    }
  }

  __device__ void store(void *to) const {
    if constexpr (BYTES == 16)
      *(uint4 *)to = make_uint4(w[0], w[1], w[2], w[3]);
    else if constexpr (BYTES == 8)
      *(uint2 *)to = make_uint2(w[0], w[1]);
    else if constexpr (BYTES == 4)
      *(u32 *)to = w[0];
    else
      *(u16 *)to = w[0];
  }
};

// Numbers 2 i and 2 i + 1 of a run that is being made.
template <int BYTES> __device__ void set(Run<BYTES> &run, int i, float a, float b) {
  if constexpr (TYPE == 0)
    run.w[2 * i] = __float_as_uint(a), run.w[2 * i + 1] = __float_as_uint(b);
  else
    run.w[i] = pack(a, b);
}

extern __shared__ uint4 shared_memory[];

#ifndef EXACT
constexpr u32 ALL = 0xffffffffu;
constexpr int PAIR = 2 * SIZE;  // bytes of a pixel's tokens of both frames

// Depthwise 3x3 convolution and SiLU of v, pixels `pixel_stride` apart, to u (2, B, D, stride):
// rows then columns, tokens l = 2 q + f, zero from L on. weight (9, D) and bias (D), fp32.
//
// Input tile: 18x18 pixels of each frame, 64 bytes of channels; between frames half of the banks,
// as a warp reads two neighbouring channels of both. Output tile: pairs (channels, 16, 16) in
// pieces of 16 bytes, which change places so that pieces one below the other, pieces of one row
// and pieces of even channels are each in different banks.
constexpr int BLOCK = 64 / SIZE;                 // channels
constexpr int SIDE = 16, HALO = SIDE + 2;        // pixels
constexpr int FRAME = HALO * HALO * 64 + 64;     // bytes
constexpr int STEP = 16 / PAIR, STEPS = SIDE / STEP;  // pixels of a piece, pieces of a row
constexpr int SHEET = SIDE * STEPS;              // pieces
constexpr int TASK = BLOCK;                      // threads: half as many channel pairs, two frames

__device__ int piece_of(int channel, int h, int step) {
  return (h * STEPS + step ^ channel / 2 & 7 ^ (h / 4 & 3) * 2) + channel * SHEET;
}

struct Two {
  float a, b;
};

__device__ Two read_two(const char *at) {
  Run<PAIR> r;
  r.load(at);
  return {r.at(0), r.at(1)};
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
convolve(const Number *__restrict__ v, const float *__restrict__ weight,
         const float *__restrict__ bias, Number *__restrict__ u, int batch, int height, int width,
         int channels, int pixel_stride, int stride) {
  char *in = (char *)shared_memory;
  uint4 *out = (uint4 *)(in + 2 * FRAME);
  const int across = (width + SIDE - 1) / SIDE;
  const int h0 = blockIdx.x / across * SIDE, w0 = blockIdx.x % across * SIDE;
  const int d0 = blockIdx.y * BLOCK, b = blockIdx.z, pixels = height * width;

  constexpr int AT_ONCE = ALIGNED ? 16 / SIZE : 1, PIECES = BLOCK / AT_ONCE;
#pragma unroll 4
  for (int i = threadIdx.x; i < 2 * HALO * HALO * PIECES; i += THREADS) {
    int piece = i % PIECES, at = i / PIECES, f = at / (HALO * HALO), place = at % (HALO * HALO);
    int h = h0 + place / HALO - 1, w = w0 + place % HALO - 1, d = d0 + piece * AT_ONCE;
    bool inside = (u32)h < (u32)height && (u32)w < (u32)width && d < channels;
    u64 from = (u64)(f * batch + b) * pixels + h * width + w;
    from = inside ? from * pixel_stride + d : 0;
    char *to = in + f * FRAME + place * 64 + piece * AT_ONCE * SIZE;
    if (ALIGNED)
      copy_16(shared_address(to), v + from, inside);
    else
      *(Number *)to = inside ? v[from] : (Number)0;
  }
  const int pair = threadIdx.x % (TASK / 2), f = threadIdx.x / (TASK / 2) % 2;
  Two tap[9], shift;
  {
    int d = min(d0 + 2 * pair, channels - 1), e = min(d + 1, channels - 1);
#pragma unroll
    for (int i = 0; i < 9; i++) tap[i] = {weight[i * channels + d], weight[i * channels + e]};
    shift = {bias[d], bias[e]};
    // Here, so that they come while the tile does.
#pragma unroll
    for (int i = 0; i < 9; i++) asm volatile("" :: "f"(tap[i].a), "f"(tap[i].b));
  }
  wait_for_copies();
  __syncthreads();

#pragma unroll 1
  for (int h = threadIdx.x / TASK; h < SIDE; h += THREADS / TASK) {
    const char *line = in + f * FRAME + h * HALO * 64 + pair * PAIR;
    Two left[3], middle[3], right[3];
#pragma unroll
    for (int i = 0; i < 3; i++) {
      middle[i] = read_two(line + i * HALO * 64);
      right[i] = read_two(line + (i * HALO + 1) * 64);
    }
#pragma unroll
    for (int w = 0; w < SIDE; w += STEP) {
      Run<16> piece;
#pragma unroll
      for (int j = 0; j < STEP; j++) {
        Two sum = shift;
#pragma unroll
        for (int i = 0; i < 3; i++) {
          left[i] = middle[i];
          middle[i] = right[i];
          right[i] = read_two(line + (i * HALO + w + j + 2) * 64);
          sum.a += tap[3 * i].a * left[i].a + tap[3 * i + 1].a * middle[i].a +
                   tap[3 * i + 2].a * right[i].a;
          sum.b += tap[3 * i].b * left[i].b + tap[3 * i + 1].b * middle[i].b +
                   tap[3 * i + 2].b * right[i].b;
        }
        // This thread has two channels of a frame, its partner those of the other: each keeps one.
        float a = silu(sum.a), c = silu(sum.b);
        if (TYPE == 0) {
          float other = __shfl_xor_sync(ALL, f ? a : c, TASK / 2);
          set(piece, j, f ? other : a, f ? c : other);
        } else {
          u32 mine = pack(a, c), other = __shfl_xor_sync(ALL, mine, TASK / 2);
          piece.w[j] = __byte_perm(mine, other, f ? 0x3276 : 0x5410);
        }
      }
      piece.store(out + piece_of(2 * pair + f, h, w / STEP));
    }
  }
  __syncthreads();

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int near = lane % STEPS, far = lane / STEPS;  // pieces of a run, runs
  constexpr int FARS = 32 / STEPS;
  const u64 columns = (u64)batch * channels * stride;
  constexpr int ROW_BYTES = ALONG_W * SIZE, COLUMN_BYTES = ALONG_H * SIZE;
#pragma unroll 2
  for (int i = warp; i < BLOCK * (SIDE / FARS); i += WARPS) {
    int c = i / (SIDE / FARS), h = i % (SIDE / FARS) * FARS + far, w = near * STEP;
    if (d0 + c >= channels || h0 + h >= height) continue;
    char *to = (char *)(u + ((u64)b * channels + d0 + c) * stride) +
               (u64)((h0 + h) * width + w0 + w) * PAIR;
    Run<16> piece;
    piece.load(out + piece_of(c, h, near));
#pragma unroll
    for (int k = 0; k < 16; k += ROW_BYTES)
      if (w0 + w + k / PAIR < width) ((Run<ROW_BYTES> *)(piece.w + k / 4))->store(to + k);
  }
#pragma unroll 2
  for (int i = warp; i < BLOCK * (SIDE / FARS); i += WARPS) {
    int c = i / (SIDE / FARS), w = i % (SIDE / FARS) * FARS + far, h = near * STEP;
    if (d0 + c >= channels || w0 + w >= width) continue;
    char *to = (char *)(u + columns + ((u64)b * channels + d0 + c) * stride) +
               (u64)((w0 + w) * height + h0 + h) * PAIR;
    Run<16> piece;
#pragma unroll
    for (int j = 0; j < STEP; j++) {
      Run<PAIR> pixel;
      pixel.load((char *)(out + piece_of(c, h + j, w / STEP)) + w % STEP * PAIR);
      for (int k = 0; k < PAIR / 4; k++) piece.w[j * PAIR / 4 + k] = pixel.w[k];
    }
#pragma unroll
    for (int k = 0; k < 16; k += COLUMN_BYTES)
      if (h0 + h + k / PAIR < height) ((Run<COLUMN_BYTES> *)(piece.w + k / 4))->store(to + k);
  }
  const int d = d0 + threadIdx.x % BLOCK, order = threadIdx.x / BLOCK;
  if (blockIdx.x == 0 && d < channels && order < 2) {
    Number *plane = u + order * columns + ((u64)b * channels + d) * stride;
    for (int l = 2 * pixels; l < stride; l++) plane[l] = (Number)0;
  }
}
#else
// Outputs by sequence position, y (B, K, D, stride), summed onto the grid, out (F, B, H, W, D).
//
// The grid is taken as rows of places whose tokens follow one another in row order, and whose
// rows' tokens follow one another in column order:
//   exact:     place (h, 2 w + f): row position 2 (h W + w) + f, column position 2 (w H + h) + f;
//   published: place (h, w) of half s: row position (s H + h) W + w, column (s W + w) H + h.
//
// Sums are (TALL, WIDE, SHEETS) in fp32 in octets of channels. A warp reads 8 channels, of each 4
// runs of tokens; octets change places so that these 4 runs are in different banks both ways.
constexpr int OCTETS = SHEETS / 8, QUADS = SHEETS / 4;
constexpr int DEEP = EXACT ? ALONG_H / 2 : ALONG_H;    // rows of a column's run
constexpr int TURN = ALONG_W > 2 ? ALONG_W : 2;        // places with the same change
constexpr int LINES = WIDE / (EXACT ? 2 : 1);          // columns of a tile
constexpr int RUNS = TALL / DEEP < 4 ? TALL / DEEP : 4;  // of one column in a warp
constexpr int BESIDE = 4 / RUNS;                       // columns of a warp, TURN apart
constexpr int BATCH = 4;                               // tasks of a warp at a time
constexpr int ROW_TASKS = OCTETS * TALL * (WIDE / (4 * ALONG_W));
constexpr int COLUMN_TASKS = OCTETS * (LINES / BESIDE) * (TALL / DEEP / RUNS);
static_assert(WIDE % (4 * ALONG_W) == 0 && TALL % (DEEP * RUNS) == 0, "whole runs");
static_assert(BESIDE == 1 || LINES % (BESIDE * TURN) == 0, "whole groups of columns");
static_assert(ROW_TASKS % (BATCH * WARPS) == 0 && COLUMN_TASKS % (BATCH * WARPS) == 0, "no rest");

// The run of a lane, from its first place and its channel.
struct Task {
  int h, w, c;
};

__device__ Task row_task(int i, int lane) {
  int w = (i / (OCTETS * TALL) * 4 + lane % 4) * ALONG_W;
  return {i / OCTETS % TALL, w, i % OCTETS * 8 + lane / 4};
}

__device__ Task column_task(int i, int lane) {
  int line = i / OCTETS % (LINES / BESIDE);
  int h = (i / (OCTETS * (LINES / BESIDE)) * RUNS + lane % RUNS) * DEEP;
  if (BESIDE > 1) line = line / TURN * (BESIDE * TURN) + line % TURN + lane % 4 / RUNS * TURN;
  return {h, EXACT ? 2 * line : line, i % OCTETS * 8 + lane / 4};
}

__device__ int sum_of(int h, int w, int channel) {
  int change = w / TURN + h / DEEP * BESIDE & 3;
  return ((((h * WIDE + w) * OCTETS + channel / 8) ^ change) * 8) + channel % 8;
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
merge(const Number *__restrict__ y, Number *__restrict__ out, int batch, int height, int width,
      int channels, int stride) {
  float *sums = (float *)shared_memory;
  const int places = EXACT ? 2 * width : width;  // in a row
  const int across = (places + WIDE - 1) / WIDE, down = (height + TALL - 1) / TALL;
  const int tile = blockIdx.x % (across * down), half = blockIdx.x / (across * down);
  const int h0 = tile / across * TALL, w0 = tile % across * WIDE;
  const int d0 = blockIdx.y * SHEETS, b = blockIdx.z;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int start = half * height * width;  // of this half, in both orders
  const u64 order = (u64)channels * stride;
  const Number *planes = y + ((u64)b * 4 * channels + d0) * stride + start;

  for (int first = warp; first < ROW_TASKS; first += BATCH * WARPS) {
    Run<ALONG_W * SIZE> forward[BATCH], backward[BATCH];
#pragma unroll
    for (int m = 0; m < BATCH; m++) {
      Task t = row_task(first + m * WARPS, lane);
      if (h0 + t.h >= height || w0 + t.w >= places || d0 + t.c >= channels) continue;
      const Number *from = planes + (u64)t.c * stride + (h0 + t.h) * places + w0 + t.w;
      forward[m].load(from);
      backward[m].load(from + 2 * order);
    }
#pragma unroll
    for (int m = 0; m < BATCH; m++) {
      Task t = row_task(first + m * WARPS, lane);
      float *even = sums + sum_of(t.h, t.w, t.c), *odd = sums + sum_of(t.h, t.w + 1, t.c);
#pragma unroll
      for (int j = 0; j < ALONG_W; j++)
        (j % 2 ? odd : even)[j / 2 * 2 * SHEETS] = forward[m].at(j) + backward[m].at(j);
    }
  }
  __syncthreads();
  planes += order;
  for (int first = warp; first < COLUMN_TASKS; first += BATCH * WARPS) {
    Run<ALONG_H * SIZE> forward[BATCH], backward[BATCH];
#pragma unroll
    for (int m = 0; m < BATCH; m++) {
      Task t = column_task(first + m * WARPS, lane);
      if (h0 + t.h >= height || w0 + t.w >= places || d0 + t.c >= channels) continue;
      int at = EXACT ? 2 * ((w0 + t.w) / 2 * height + h0 + t.h) : (w0 + t.w) * height + h0 + t.h;
      const Number *from = planes + (u64)t.c * stride + at;
      forward[m].load(from);
      backward[m].load(from + 2 * order);
    }
#pragma unroll
    for (int m = 0; m < BATCH; m++) {
      Task t = column_task(first + m * WARPS, lane);
      float *even = sums + sum_of(t.h, t.w, t.c), *odd = sums + sum_of(t.h, t.w + 1, t.c);
      float sum[ALONG_H];
#pragma unroll
      for (int j = 0; j < ALONG_H; j++)
        sum[j] = (EXACT && j % 2 ? odd : even)[(EXACT ? j / 2 : j) * WIDE * SHEETS];
#pragma unroll
      for (int j = 0; j < ALONG_H; j++)
        (EXACT && j % 2 ? odd : even)[(EXACT ? j / 2 : j) * WIDE * SHEETS] =
            sum[j] + (forward[m].at(j) + backward[m].at(j));
    }
  }
  __syncthreads();
#pragma unroll 4
  for (int i = threadIdx.x; i < TALL * WIDE * QUADS; i += THREADS) {
    int c = i % QUADS * 4, w = i / QUADS % WIDE, h = i / (QUADS * WIDE);
    bool inside = h0 + h < height && w0 + w < places && d0 + c < channels;
    float4 sum = *(const float4 *)(sums + sum_of(h, w, c));
    int j = start + (h0 + h) * places + w0 + w;
    u64 pixel = (u64)(j % 2 * batch + b) * height * width + j / 2;
    Number *to = out + pixel * channels + d0 + c;
    Run<4 * SIZE> quad;
    set(quad, 0, sum.x, sum.y);
    set(quad, 1, sum.z, sum.w);
    if (ALIGNED && inside) quad.store(to);
    if (!ALIGNED && inside)
      for (int k = 0; k < min(4, channels - d0 - c); k++) to[k] = quad.number(k);
  }
}
#endif
