// Two 3x3 convolutions, each with bias and PReLU, from fp32 pictures to pixels of CHANNELS halves.
// What lies between them never leaves shared memory.
//
// A block takes tile after tile of output pixels. While it works on one, it copies the planes of
// the next, two pixels more on each side, to `planes` in shared memory. They become `input`: four
// halves a pixel, the last zero. The first convolution makes `middle`, one pixel more on each side
// than the tile and zero outside the picture; the second makes the tile from it.
//
// The first multiplies by rows of the kernel: 4 columns x 4 channels, of which 3 x 3 count.
//
// Compiled at run time for -DTYPE (1 fp16, 2 bf16), CHANNELS (16 or 32), and how the work is cut:
// ROWS of 16 pixels that a warp makes at a time, PASSES of them, WARPS_Y x WARPS_X warps, RESIDENT
// (the second weights stay in registers), BLOCKS of a processor.

#include "fused/tiles.cuh"
#include "memory.cuh"
#include "numbers.cuh"

constexpr int WARPS = WARPS_Y * WARPS_X, THREADS = WARPS * 32;
constexpr int OWN_ROWS = ROWS * PASSES;  // of a warp

// Tiles. The columns of `middle` are a whole number of warps, so the last one makes two less.
constexpr int TILE_Y = WARPS_Y * OWN_ROWS, TILE_X = WARPS_X * 16 - 2;
constexpr int MIDDLE_Y = TILE_Y + 2, MIDDLE_X = TILE_X + 2;
constexpr int IN_Y = TILE_Y + 4, IN_X = TILE_X + 4, IN_PIXELS = IN_Y * IN_X;
constexpr int TURNS = (IN_PIXELS + THREADS - 1) / THREADS;  // pixels of a thread
constexpr int FIRST_ROWS = (MIDDLE_Y + WARPS_Y - 1) / WARPS_Y;

// A lane of a quad holds RUN channels in a row, two of each of UNITS products.
constexpr int UNITS = CHANNELS / 8, RUN = 2 * UNITS, STEPS = CHANNELS / 16;

// A pixel of `middle` is PIECES times 16 bytes, in an order that turns from pixel to pixel: the
// same piece of 8 pixels in a row touches all banks once.
constexpr int PIECES = CHANNELS / 8, PIXEL = CHANNELS * 2, LINE = MIDDLE_X * PIXEL;
static_assert(CHANNELS == 16 || CHANNELS == 32, "whole turns");

// Shared memory. Reading past the end of `middle` is harmless: no such result is stored. What is
// read past the end of `input` meets weights of zero, so it must be a number.
constexpr int STEP_BYTES = 16 * CHANNELS * 2, TAP_BYTES = STEPS * STEP_BYTES;
constexpr int FIRST_BYTES = 3 * STEP_BYTES, SECOND_BYTES = 9 * TAP_BYTES;
constexpr int FIRST_AT = MIDDLE_Y * LINE, SECOND_AT = FIRST_AT + FIRST_BYTES;
constexpr int FACTORS_AT = SECOND_AT + (RESIDENT ? 0 : SECOND_BYTES);
constexpr int INPUT_AT = FACTORS_AT + 4 * CHANNELS * 4;
constexpr int PLANES_AT = INPUT_AT + (IN_PIXELS + 2) / 2 * 16;

extern __shared__ uint4 shared_memory[];

__device__ __forceinline__ void copy_4(u32 to, const void *from, bool inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :: "r"(to), "l"(from), "r"(inside ? 4 : 0) : "memory");
}

template <int COUNT> __device__ __forceinline__ void keep_words(u32 to, const u32 *w) {
  if (COUNT == 4)
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};"
                 :: "r"(to), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]) : "memory");
  else
    asm volatile("st.shared.v2.b32 [%0], {%1, %2};" :: "r"(to), "r"(w[0]), "r"(w[1]) : "memory");
}

// Pitches are values from one frame, sample, plane or row to the next.
struct Frames {
  const float *x;
  int batch, height, width, frame_pitch, sample_pitch, plane_pitch, row_pitch;
};

// Begin to copy a tile's planes, zeros from outside the picture.
__device__ __forceinline__ void fetch(const Frames &in, const Cursor &tile, u32 planes) {
  const int top = tile.y * TILE_Y - 2, left = tile.x * TILE_X - 2;
  const int frame = tile.image / in.batch, sample = tile.image - frame * in.batch;
  const float *corner = in.x + (i64)frame * in.frame_pitch + (i64)sample * in.sample_pitch +
                        (i64)top * in.row_pitch + left;
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const int i = turn * THREADS + threadIdx.x, row = i / IN_X, column = i - row * IN_X;
    if ((turn + 1) * THREADS > IN_PIXELS && i >= IN_PIXELS) break;
    const bool inside = (u32)(top + row) < (u32)in.height && (u32)(left + column) < (u32)in.width;
    const float *from = corner + (row * in.row_pitch + column);
#pragma unroll
    for (int c = 0; c < 3; c++)
      copy_4(planes + (c * IN_PIXELS + i) * 4, from + (i64)c * in.plane_pitch, inside);
  }
}

// `planes` to `input`. A thread takes the pixels that it copied.
__device__ __forceinline__ void interleave(u32 planes, u32 input) {
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const int i = turn * THREADS + threadIdx.x;
    if ((turn + 1) * THREADS > IN_PIXELS && i >= IN_PIXELS) break;
    float v[3];
#pragma unroll
    for (int c = 0; c < 3; c++) load_words<1>((u32 *)&v[c], planes + (c * IN_PIXELS + i) * 4);
    const u32 words[2] = {pack(v[0], v[1]), pack(v[2], 0.0f)};
    keep_words<2>(input + i * 8, words);
  }
}

// A lane's weights of 16 inputs.
struct Weights {
  u32 w[RUN];

  __device__ __forceinline__ void load(u32 from, int lane) {
#pragma unroll
    for (int i = 0; i < RUN; i += 4) load_words<4>(w + i, from + i * 128 + lane * 16);
  }
};

// A lane's biases and slopes.
struct Factors {
  float bias[RUN], slope[RUN];

  __device__ __forceinline__ Factors(u32 from, int lane) {
#pragma unroll
    for (int i = 0; i < RUN; i += 4) {
      load_words<4>((u32 *)bias + i, from + (lane % 4 * RUN + i) * 4);
      load_words<4>((u32 *)slope + i, from + (CHANNELS + lane % 4 * RUN + i) * 4);
    }
  }

  __device__ __forceinline__ void begin(float (&sums)[UNITS][4]) const {
#pragma unroll
    for (int n = 0; n < UNITS; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) sums[n][i] = bias[2 * n + i % 2];
  }

  // Channels in order of one of the two pixels that a lane has of 16.
  __device__ __forceinline__ void finish(u32 (&words)[UNITS], const float (&sums)[UNITS][4],
                                         int half) const {
#pragma unroll
    for (int n = 0; n < UNITS; n++) {
      float v[2];
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float z = sums[n][half * 2 + e];
        v[e] = z > 0.0f ? z : z * slope[2 * n + e];
      }
      words[n] = pack(v[0], v[1]);
    }
  }
};

// Where a piece of a pixel of `middle` lies in it.
__device__ __forceinline__ int turned(int piece, int column) {
  return (piece ^ (column / (8 / PIECES) % PIECES)) * 16;
}

// Make a warp's rows of `middle`.
__device__ __forceinline__ void first(const Frames &in, const Cursor &tile, u32 shared, int warp_y,
                                      int warp_x, int lane) {
  const int column = warp_x * 16 + lane / 4, top = warp_y * FIRST_ROWS;
  const int y = tile.y * TILE_Y - 1 + top, x = tile.x * TILE_X - 1 + column;
  const bool fits[2] = {(u32)x < (u32)in.width, (u32)(x + 8) < (u32)in.width};
  const u32 from = shared + INPUT_AT + (top * IN_X + column + lane % 4) * 8;
  const int place = lane % 4 * RUN * 2;
  const u32 pixel = shared + (top * MIDDLE_X + column) * PIXEL;
  const u32 to = pixel + turned(place / 16, column) + place % 16;

  const Factors factors(shared + FACTORS_AT, lane);
  Weights weights[3];
#pragma unroll
  for (int i = 0; i < 3; i++) weights[i].load(shared + FIRST_AT + i * STEP_BYTES, lane);

  u32 a[FIRST_ROWS + 2][4];
#pragma unroll
  for (int i = 0; i < FIRST_ROWS + 2; i++) {
    if (WARPS_Y * FIRST_ROWS > MIDDLE_Y && top + i >= MIDDLE_Y + 2) break;
    u32 left[2], right[2];
    load_words<2>(left, from + i * IN_X * 8);
    load_words<2>(right, from + (i * IN_X + 8) * 8);
    a[i][0] = left[0], a[i][1] = right[0], a[i][2] = left[1], a[i][3] = right[1];
    if (i < 2) continue;
    const int row = i - 2;
    float sums[UNITS][4];
    factors.begin(sums);
#pragma unroll
    for (int k = 0; k < 3; k++)
#pragma unroll
      for (int n = 0; n < UNITS; n++)
        multiply_16(sums[n], a[row + k], weights[k].w[2 * n], weights[k].w[2 * n + 1]);
    const bool inside = (u32)(y + row) < (u32)in.height;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      u32 words[UNITS];
      factors.finish(words, sums, half);
#pragma unroll
      for (int n = 0; n < UNITS; n++) words[n] = inside && fits[half] ? words[n] : 0;
      keep_words<UNITS>(to + row * LINE + half * 8 * PIXEL, words);
    }
  }
}

struct Kept {
  Weights of[RESIDENT ? 9 : 1][RESIDENT ? STEPS : 1];
};

// Make ROWS rows of a warp of the tile and store them. `from`: per column and step, where the
// lane's part of the first row of `middle` lies.
__device__ __forceinline__ void second(const Frames &in, const Kept &kept, char *out, int image,
                                       int y, int x, bool (&fits)[2], u32 (&from)[3][STEPS],
                                       u32 shared, int lane) {
  const Factors factors(shared + FACTORS_AT + 2 * CHANNELS * 4, lane);
  float sums[ROWS][UNITS][4];
#pragma unroll
  for (int r = 0; r < ROWS; r++) factors.begin(sums[r]);
#pragma unroll
  for (int column = 0; column < 3; column++)
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
      u32 a[ROWS + 2][4];
#pragma unroll
      for (int i = 0; i < ROWS + 2; i++) load_matrices(a[i], from[column][step] + i * LINE);
#pragma unroll
      for (int row = 0; row < 3; row++) {
        const int tap = row * 3 + column;
        Weights b;
        if (RESIDENT)
          b = kept.of[RESIDENT ? tap : 0][RESIDENT ? step : 0];
        else
          b.load(shared + SECOND_AT + tap * TAP_BYTES + step * STEP_BYTES, lane);
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
          for (int n = 0; n < UNITS; n++)
            multiply_16(sums[r][n], a[r + row], b.w[2 * n], b.w[2 * n + 1]);
      }
    }
  char *to = out + (((i64)image * in.height + y) * in.width + x) * PIXEL + lane % 4 * RUN * 2;
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      u32 words[UNITS];
      factors.finish(words, sums[r], half);
      store_words<UNITS>(to + (r * in.width + half * 8) * PIXEL, words,
                         fits[half] && y + r < in.height);
    }
}

// x (F, B, 3, H, W) fp32 by its pitches; biases and slopes (4, CHANNELS) fp32, in the order of
// bias, slope, bias, slope; out (F B, H, W, CHANNELS).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
stem(const float *__restrict__ x, const char *__restrict__ first_weight,
     const char *__restrict__ second_weight, const char *__restrict__ factors, char *out,
     int images, int batch, int height, int width, int frame_pitch, int sample_pitch,
     int plane_pitch, int row_pitch) {
  const Frames in = {x,           batch,        height,      width,
                     frame_pitch, sample_pitch, plane_pitch, row_pitch};
  Grid grid;
  grid.down = (height + TILE_Y - 1) / TILE_Y, grid.across = (width + TILE_X - 1) / TILE_X;
  const int hop = gridDim.x, lines = hop / grid.across;
  grid.hop_x = hop - lines * grid.across;
  grid.hop_images = lines / grid.down;
  grid.hop_y = lines - grid.hop_images * grid.down;

  const u32 shared = shared_address(shared_memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warp_y = warp / WARPS_X, warp_x = warp % WARPS_X;

#pragma unroll 1
  for (int i = threadIdx.x * 16; i < FIRST_BYTES; i += THREADS * 16)
    copy_16(shared + FIRST_AT + i, first_weight + i, true);
#pragma unroll 1
  for (int i = threadIdx.x * 16; i < 4 * CHANNELS * 4; i += THREADS * 16)
    copy_16(shared + FACTORS_AT + i, factors + i, true);
  Kept kept;
  if (RESIDENT) {
#pragma unroll
    for (int i = 0; i < (RESIDENT ? 9 * STEPS : 0); i++)
#pragma unroll
      for (int word = 0; word < RUN; word++)
        kept.of[i / STEPS][i % STEPS].w[word] =
            ((const u32 *)(second_weight + i * STEP_BYTES + word / 4 * 512 + lane * 16))[word % 4];
  } else {
#pragma unroll 1
    for (int i = threadIdx.x * 16; i < SECOND_BYTES; i += THREADS * 16)
      copy_16(shared + SECOND_AT + i, second_weight + i, true);
  }
  const u32 zeros[2] = {0, 0};
  if (threadIdx.x == 0) keep_words<2>(shared + INPUT_AT + IN_PIXELS * 8, zeros);

  u32 from[3][STEPS];
#pragma unroll
  for (int column = 0; column < 3; column++)
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
      const int at = warp_x * 16 + lane % 16 + column;
      from[column][step] = shared + (warp_y * OWN_ROWS * MIDDLE_X + at) * PIXEL +
                           turned(2 * step + lane / 16, at);
    }

  const int tiles = images * grid.down * grid.across;
  Cursor tile(grid, blockIdx.x), ahead = tile;
  fetch(in, ahead, shared + PLANES_AT);
  commit_copies();
#pragma unroll 1
  for (int number = blockIdx.x; number < tiles; number += hop) {
    wait_copies<0>();
    interleave(shared + PLANES_AT, shared + INPUT_AT);
    __syncthreads();  // `input` is complete, and `middle` of the tile before is no longer needed
    ahead.advance(grid);
    if (number + hop < tiles) fetch(in, ahead, shared + PLANES_AT);
    commit_copies();
    first(in, tile, shared, warp_y, warp_x, lane);
    __syncthreads();  // `middle` is complete, and `input` no longer needed
    const int column = warp_x * 16 + lane / 4, left = tile.x * TILE_X + column;
    bool fits[2];
#pragma unroll
    for (int half = 0; half < 2; half++)
      fits[half] = column + half * 8 < TILE_X && left + half * 8 < width;
#pragma unroll 1
    for (int pass = 0; pass < PASSES; pass++) {
      u32 rows[3][STEPS];
#pragma unroll
      for (int i = 0; i < 3 * STEPS; i++)
        rows[i / STEPS][i % STEPS] = from[i / STEPS][i % STEPS] + pass * ROWS * LINE;
      second(in, kept, out, tile.image, tile.y * TILE_Y + warp_y * OWN_ROWS + pass * ROWS, left,
             fits, rows, shared, lane);
    }
    tile = ahead;
  }
}
