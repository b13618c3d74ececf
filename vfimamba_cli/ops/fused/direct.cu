// Convolutions of few channels, from one tile of pixels in shared memory to another in registers.
//
// A team of warps takes tile after tile of an image. The tile's input, one pixel more on each side,
// is copied to shared memory while the team still multiplies the tile before; a tap of the kernel
// is then an offset in it. Weights stay in shared memory, or in registers where they are few.
//
// KIND 0: 3x3, stride 1 or 2, padding 1. KIND 1: transposed 4x4, stride 2, padding 1: output row
// 2 y + p takes input row y with kernel row 1 + p, and row y + 2 p - 1 with kernel row 3 - 3 p;
// columns likewise. Tiles are of output pixels for KIND 0 and of input pixels for KIND 1.
//
// Compiled at run time for -DTYPE (1 fp16, 2 bf16), KIND, INPUTS and OUTPUTS (channels, multiples
// of 8), KEPT (of the outputs), STRIDE, ADDS (`before` to the result), TWICE (to `second` too), and
// how the work is cut: ROWS of 16 pixels of a warp, WARPS_Y x WARPS_X of them in a tile, WARPS_N
// for different outputs, SHARE outputs a warp, PARITIES of output rows in a block (KIND 1), CHUNK
// channels and STAGES of the pipeline, TEAMS of a block, BLOCKS of a processor.

#include "fused/tiles.cuh"
#include "memory.cuh"
#include "numbers.cuh"

// Tiles.
constexpr int TILE_Y = WARPS_Y * ROWS, TILE_X = WARPS_X * 16;
constexpr int TEAM_WARPS = WARPS_Y * WARPS_X * WARPS_N * PARITIES;
constexpr int TEAM_THREADS = TEAM_WARPS * 32, THREADS = TEAMS * TEAM_THREADS;
constexpr int IN_Y = (TILE_Y - 1) * STRIDE + 3, IN_X = (TILE_X - 1) * STRIDE + 3;
constexpr int EVEN = (IN_X + 1) / 2;  // columns of even number lie first where the stride is 2

// Shared memory. A pixel takes an odd number of 16-byte pieces: 8 in a row touch all banks once.
constexpr int PIECES = CHUNK / 8, PIXEL = (PIECES | 1) * 16;
constexpr int LINE = IN_X * PIXEL, STAGE = IN_Y * LINE;
constexpr int PENDING = STAGES == 1 ? 0 : STAGES - 2;  // copies of later stages

// Steps of 16 channels, and one of 8 where the channels are not a multiple of 16.
constexpr int CHUNKS = INPUTS / CHUNK, FULL_STEPS = CHUNK / 16, STEPS = (CHUNK + 15) / 16;
static_assert(INPUTS % CHUNK == 0 && (CHUNKS == 1 || CHUNK % 16 == 0), "whole steps");

// Outputs come in groups of UNITS times 8. A lane of a quad holds 2 UNITS channels in a row.
constexpr int UNITS = OUTPUTS % 32 == 0 ? 4 : OUTPUTS % 16 == 0 ? 2 : 1;
constexpr int GROUP = 8 * UNITS, RUN = 2 * UNITS, SLICE = WARPS_N * SHARE;
constexpr int GROUPS = SHARE / GROUP;
static_assert(SHARE % GROUP == 0 && OUTPUTS % SLICE == 0 && KEPT % RUN == 0, "whole groups");

// Weights: (parity of the row, group, tap, step, lane of a warp), as the multiplication wants them.
constexpr int SIDES = KIND == 1 ? 2 : 1;   // outputs side by side from one input pixel
constexpr int TAPS = KIND == 1 ? 8 : 9;    // of an output row's parity
constexpr int USES = KIND == 1 ? 4 : 3;    // of a column of the input at most
constexpr int REACH = KIND == 1 ? 2 : 3;   // rows of the input that an output row takes
constexpr int STEP_BYTES = 16 * GROUP * 2, TAP_BYTES = INPUTS * GROUP * 2;
constexpr int GROUP_BYTES = TAPS * TAP_BYTES, SLICE_BYTES = SLICE / GROUP * GROUP_BYTES;
constexpr int PARITY_BYTES = OUTPUTS / GROUP * GROUP_BYTES;
constexpr int WORDS = TAPS * GROUPS * UNITS * INPUTS / 8;  // a lane's, if it kept them all
constexpr bool RESIDENT = KIND == 0 && CHUNKS == 1 && WORDS <= 40;
constexpr int WEIGHTS = RESIDENT ? 0 : PARITIES * SLICE_BYTES;
constexpr int IN_ROWS = (ROWS - 1) * STRIDE + REACH;

extern __shared__ uint4 shared_memory[];

// COUNT words from memory at once.
template <int COUNT> struct alignas(4 * COUNT) Words {
  u32 w[COUNT];
};

// What does not change from tile to tile. Pitches are channels from one pixel to the next.
struct Input {
  const char *x;
  int height, width, pitch;
};

struct Output {
  const float *bias, *slope;
  const char *before;
  char *out, *second;
  int rows, columns, before_pitch, out_pitch, second_pitch;
};

// Copy CHUNK channels of a tile's input to a stage, zeros from outside the image. A lane copies the
// same piece of each row of its warp.
__device__ __forceinline__ void fill(const Input &in, const Cursor &tile, int chunk, u32 stage,
                                     int warp, int lane) {
  const int top = tile.y * TILE_Y * STRIDE - 1, left = tile.x * TILE_X * STRIDE - 1;
  const int pixel = in.pitch * 2, line = in.width * pixel;  // bytes
  const char *corner = in.x + ((i64)tile.image * in.height + top + warp) * line + left * pixel +
                       chunk * CHUNK * 2;
#pragma unroll
  for (int i = 0; i < IN_X * PIECES; i += 32) {
    const int column = (i + lane) / PIECES, piece = (i + lane) % PIECES;
    const int place = STRIDE == 2 ? (column & 1) * EVEN + column / 2 : column;
    const bool inside = (u32)(left + column) < (u32)in.width;
    const u32 to = stage + warp * LINE + place * PIXEL + piece * 16;
    if (i + 32 > IN_X * PIECES && column >= IN_X) break;
#pragma unroll
    for (int row = 0; row < IN_Y; row += TEAM_WARPS) {
      if (row + TEAM_WARPS > IN_Y && row + warp >= IN_Y) break;
      copy_16(to + row * LINE, corner + (row * line + column * pixel + piece * 16),
              inside && (u32)(top + warp + row) < (u32)in.height);
    }
  }
}

// Which tap a column of the input meets in one of its USES; the row it takes; the side it makes.
__device__ __forceinline__ constexpr bool used(int column, int use) {
  return KIND == 0 || (column - use / 2 >= 0 && column - use / 2 < 2);
}
__device__ __forceinline__ constexpr int tap_of(int column, int use) {
  return KIND == 0 ? use * 3 + column : (use / 2 * 2 + column - use / 2) * 2 + use % 2;
}
__device__ __forceinline__ constexpr int row_of(int use) { return KIND == 0 ? use : use % 2; }
__device__ __forceinline__ constexpr int side_of(int use) { return KIND == 0 ? 0 : use / 2; }

// A lane's weights of one tap and step, 2 words for 8 outputs of a whole step, 1 of half a step.
struct Weights {
  u32 w[GROUPS][RUN];

  template <bool HALF> __device__ __forceinline__ void load(u32 from, int lane) {
    constexpr int ALL = HALF ? UNITS : RUN, EACH = ALL < 4 ? ALL : 4;
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
#pragma unroll
      for (int i = 0; i < ALL; i += EACH)
        load_words<EACH>(w[g] + i, from + g * GROUP_BYTES + i * 128 + lane * EACH * 4);
  }

  template <bool HALF> __device__ __forceinline__ void fetch(const char *from, int lane) {
    constexpr int ALL = HALF ? UNITS : RUN, EACH = ALL < 4 ? ALL : 4;
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
#pragma unroll
      for (int i = 0; i < ALL; i += EACH)
        *(Words<EACH> *)(w[g] + i) =
            *(const Words<EACH> *)(from + g * GROUP_BYTES + i * 128 + lane * EACH * 4);
  }
};

typedef float Sums[SIDES][ROWS][GROUPS * UNITS][4];

struct Kept {
  Weights of[RESIDENT ? TAPS : 1][RESIDENT ? STEPS : 1];
};

// Add the products of a stage; `a_from` is the lane's place in it, `b_from` the chunk's weights.
__device__ __forceinline__ void multiply(Sums &sums, const Kept &kept, u32 a_from, u32 b_from,
                                         int lane) {
#pragma unroll
  for (int column = 0; column < 3; column++) {
    const int place = STRIDE == 2 ? (column & 1) * EVEN + column / 2 : column;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
      u32 a[IN_ROWS][4];
#pragma unroll
      for (int i = 0; i < IN_ROWS; i++) {
        u32 from = a_from + i * LINE + place * PIXEL + step * 32;
        if (step < FULL_STEPS)
          load_matrices(a[i], from);
        else
          load_half_step(a[i], from);
      }
#pragma unroll
      for (int use = 0; use < USES; use++) {
        if (!used(column, use)) continue;
        const int tap = tap_of(column, use), side = side_of(use);
        Weights b;
        if (RESIDENT)
          b = kept.of[RESIDENT ? tap : 0][RESIDENT ? step : 0];
        else if (step < FULL_STEPS)
          b.load<false>(b_from + tap * TAP_BYTES + step * STEP_BYTES, lane);
        else
          b.load<true>(b_from + tap * TAP_BYTES + step * STEP_BYTES, lane);
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
          for (int n = 0; n < GROUPS * UNITS; n++) {
            const u32(&w)[RUN] = b.w[n / UNITS];
            if (step < FULL_STEPS)
              multiply_16(sums[side][r][n], a[r * STRIDE + row_of(use)], w[n % UNITS * 2],
                          w[n % UNITS * 2 + 1]);
            else
              multiply_8(sums[side][r][n], a[r * STRIDE + row_of(use)], w[n % UNITS]);
          }
      }
    }
  }
}

// Bias, activation, sum and stores. (y, x) is the first pixel of the warp, `first` its channel.
__device__ __forceinline__ void finish(const Sums &sums, const Output &to, int image, int y, int x,
                                       int parity, int first, int lane) {
  const int across = to.columns * SIDES;
  const int left = x + lane / 4;
  const i64 pixel = ((i64)(image * to.rows + y) * SIDES + parity) * across + left * SIDES;
#pragma unroll
  for (int g = 0; g < GROUPS; g++) {
    const int channel = first + g * GROUP + lane % 4 * RUN;
    if (KEPT < OUTPUTS && channel >= KEPT) continue;
    const char *before = to.before + (pixel * to.before_pitch + channel) * 2;
    char *out = to.out + (pixel * to.out_pitch + channel) * 2;
    char *second = to.second + (pixel * to.second_pitch + channel) * 2;
    float bias[RUN], slope[RUN];
#pragma unroll
    for (int i = 0; i < RUN; i++) bias[i] = to.bias[channel + i], slope[i] = to.slope[channel + i];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
      for (int half = 0; half < 2; half++)
#pragma unroll
        for (int side = 0; side < SIDES; side++) {
          const bool inside = y + r < to.rows && left + half * 8 < to.columns;
          const int apart = ((r * across + half * 8) * SIDES + side) * 2;
          Words<UNITS> added = {}, words;
          if (ADDS && inside) added = *(const Words<UNITS> *)(before + apart * to.before_pitch);
#pragma unroll
          for (int n = 0; n < UNITS; n++) {
            float v[2];
#pragma unroll
            for (int e = 0; e < 2; e++) {
              float z = sums[side][r][g * UNITS + n][half * 2 + e] + bias[2 * n + e];
              v[e] = z > 0.0f ? z : z * slope[2 * n + e];
            }
            if (ADDS) v[0] += low_half(added.w[n]), v[1] += high_half(added.w[n]);
            words.w[n] = pack(v[0], v[1]);
          }
          store_words<UNITS>(out + apart * to.out_pitch, words.w, inside);
          if (TWICE) store_words<UNITS>(second + apart * to.second_pitch, words.w, inside);
        }
  }
}

// x (N, H, W, INPUTS); bias and slope (OUTPUTS) fp32; out, second and before (N, H', W', KEPT).
// Block (i, j) makes slice j of the outputs; for KIND 1 and one of PARITIES, j % 2 is the parity.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolve(const char *__restrict__ x, const char *__restrict__ weight,
         const float *__restrict__ bias, const float *__restrict__ slope, const char *before,
         char *out, char *second, int images, int height, int width, int x_pitch, int before_pitch,
         int out_pitch, int second_pitch) {
  const int rows = (height + STRIDE - 1) / STRIDE, columns = (width + STRIDE - 1) / STRIDE;
  const Input in = {x, height, width, x_pitch};
  const Output to = {bias, slope,   before,       out,       second,
                     rows, columns, before_pitch, out_pitch, second_pitch};
  Grid grid;
  grid.down = (rows + TILE_Y - 1) / TILE_Y, grid.across = (columns + TILE_X - 1) / TILE_X;
  const int hop = gridDim.x * TEAMS, lines = hop / grid.across;
  grid.hop_x = hop - lines * grid.across;
  grid.hop_images = lines / grid.down;
  grid.hop_y = lines - grid.hop_images * grid.down;

  const int lane = threadIdx.x % 32, team = threadIdx.x / TEAM_THREADS;
  const int warp = threadIdx.x % TEAM_THREADS / 32, share = warp % WARPS_N;
  const int of_tile = warp / (WARPS_N * PARITIES);
  const int warp_x = of_tile % WARPS_X * 16, warp_y = of_tile / WARPS_X * ROWS;
  const int own_parity = PARITIES == 2 ? warp / WARPS_N % 2 : 0;
  const int parity = KIND == 0 ? 0 : PARITIES == 2 ? own_parity : blockIdx.y % 2;
  const int slice = blockIdx.y / (SIDES / PARITIES);
  const u32 weights = shared_address(shared_memory);
  const u32 stages = weights + WEIGHTS + team * STAGES * STAGE;
  const u32 b_from = weights + own_parity * SLICE_BYTES + share * GROUPS * GROUP_BYTES;
  const u32 a_from = (warp_y * STRIDE + parity) * LINE + (warp_x + lane % 16) * PIXEL + lane / 16 * 16;

  Kept kept;
  if (RESIDENT) {
    const char *from = weight + slice * SLICE_BYTES + share * GROUPS * GROUP_BYTES;
#pragma unroll
    for (int tap = 0; tap < (RESIDENT ? TAPS : 0); tap++)
#pragma unroll
      for (int step = 0; step < STEPS; step++) {
        const char *at = from + tap * TAP_BYTES + step * STEP_BYTES;
        if (step < FULL_STEPS)
          kept.of[tap][step].fetch<false>(at, lane);
        else
          kept.of[tap][step].fetch<true>(at, lane);
      }
  } else {
    const char *from = weight + (PARITIES == 2 ? 0 : parity) * PARITY_BYTES + slice * SLICE_BYTES;
    for (int p = 0; p < PARITIES; p++)
      for (int i = threadIdx.x * 16; i < SLICE_BYTES; i += THREADS * 16)
        copy_16(weights + p * SLICE_BYTES + i, from + p * PARITY_BYTES + i, true);
  }

  // A unit of work is a chunk of a tile. `ahead` and `chunk_ahead` are what is copied next.
  const int first = blockIdx.x * TEAMS + team, tiles = images * grid.down * grid.across;
  const int units = first < tiles ? ((tiles - 1 - first) / hop + 1) * CHUNKS : 0;
  Cursor tile(grid, first), ahead = tile;
  int chunk = 0, chunk_ahead = 0;
  auto fill_next = [&](int stage) {
    fill(in, ahead, chunk_ahead, stages + stage * STAGE, warp, lane);
    if (CHUNKS == 1 || ++chunk_ahead == CHUNKS) chunk_ahead = 0, ahead.advance(grid);
  };
#pragma unroll
  for (int u = 0; u < STAGES - 1; u++) {
    if (u < units) fill_next(u);
    commit_copies();
  }
  if (STAGES == 1) commit_copies();
  wait_copies<PENDING>();
  __syncthreads();

  Sums sums;
  int stage = 0;
#pragma unroll 1
  for (int u = 0; u < units; u++) {
    // Once all of the team are here, the stage before is free and, of more than one, this one full.
    wait_copies<PENDING>();
    some_barrier<TEAM_THREADS>(team + 1);
    if (u + STAGES - 1 < units) fill_next(STAGES == 1 ? 0 : stage == 0 ? STAGES - 1 : stage - 1);
    commit_copies();
    if (STAGES == 1) {
      wait_copies<0>();
      some_barrier<TEAM_THREADS>(team + 1);
    }
    if (chunk == 0) {
#pragma unroll
      for (int i = 0; i < SIDES * ROWS * GROUPS * UNITS * 4; i++) ((float *)sums)[i] = 0.0f;
    }
    multiply(sums, kept, stages + stage * STAGE + a_from, b_from + chunk * FULL_STEPS * STEP_BYTES,
             lane);
    if (STAGES > 1) stage = stage + 1 == STAGES ? 0 : stage + 1;
    if (CHUNKS == 1 || ++chunk == CHUNKS) {
      finish(sums, to, tile.image, tile.y * TILE_Y + warp_y, tile.x * TILE_X + warp_x, parity,
             slice * SLICE + share * SHARE, lane);
      chunk = 0, tile.advance(grid);
    }
  }
}
