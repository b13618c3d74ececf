// The four-order scan with the lanes of a warp side by side along the sequence; README.md, "Lanes".
//
// F = 2 frames, B batch, D channels, N states, R rank, L = 2 H W tokens, K = 4 orders.
//
// Planes keep the tokens of one channel together, l = 2 q + f, q counting pixels along rows or
// columns. A plane is a whole number of 32 bytes; what lies beyond L is zero in `u`, so zero in its
// projections, and so leaves a state of zero as it is. Reversed orders read and write the same
// planes from the end.
//
// Compiled at run time for -DTYPE (0 fp32, 1 fp16, 2 bf16), N, RANK and how the work is cut: WARPS
// of a block, ROWS of each warp, TEAM groups of warps that take turns in tiles of the same rows,
// SPAN bytes of a plane for each lane (16 or 32), and PAIRED, whether neighbouring lanes share the
// scan over lanes of two rows, one row each.

#include "memory.cuh"
#include "numbers.cuh"

constexpr u32 ALL = 0xffffffffu;
constexpr int UNIT = SPAN;                      // bytes of a plane that are a lane's
constexpr int ITEMS = UNIT / (TYPE == 0 ? 4 : 2);  // tokens
constexpr int WORDS = UNIT / 4;
constexpr int TILE = 32 * UNIT;                 // bytes of a plane's tile, one unit a lane
constexpr int WIDTH = RANK + 2 * N;             // planes of x of one order
constexpr int GROUP_WARPS = WARPS / TEAM;
constexpr int GROUP_THREADS = GROUP_WARPS * 32;
constexpr int BLOCK_ROWS = GROUP_WARPS * ROWS;  // channels of a block
constexpr int PLANES = WIDTH + BLOCK_ROWS;      // of a stage: x, then u of each row
constexpr int STAGE = PLANES * TILE;
constexpr int PARAMETERS = N + RANK + 2;        // of a row: A log2(e), dt_weight, dt_bias, D
constexpr int CHUNKS = TILE / 16;               // pieces that one copy moves
constexpr int SCANNED = PAIRED ? 1 : ROWS;      // rows a lane has in the scan over lanes
static_assert(UNIT == 16 || UNIT == 32, "one or two pieces");
static_assert(!PAIRED || ROWS == 2, "pairs of rows for pairs of lanes");
static_assert(GROUP_THREADS % CHUNKS == 0, "a thread copies the same piece of every plane");
static_assert(BLOCK_ROWS % (GROUP_THREADS / CHUNKS) == 0, "all of u's planes in whole steps");

struct Unit {
  u32 w[WORDS];

  // Token i of a lane in the order of the scan.
  template <bool REVERSED> __device__ float at(int i) const {
    int m = REVERSED ? ITEMS - 1 - i : i;
    if (TYPE == 0) return __uint_as_float(w[m % WORDS]);
    return m & 1 ? high_half(w[m / 2]) : low_half(w[m / 2]);
  }
};

template <bool REVERSED> __device__ Unit packed(const float (&y)[ITEMS]) {
  Unit out;
#pragma unroll
  for (int m = 0; m < WORDS; m++) {
    if (TYPE == 0) {
      out.w[m] = __float_as_uint(y[(REVERSED ? ITEMS - 1 - m : m) % ITEMS]);
    } else {
      int i = REVERSED ? ITEMS - 1 - 2 * m : 2 * m;
      out.w[m] = pack(y[i & ITEMS - 1], y[(REVERSED ? i - 1 : i + 1) & ITEMS - 1]);
    }
  }
  return out;
}

// One step of the scan over lanes: (decay, end) of the lanes up to `distance` before joins this.
__device__ void join(float &decay, float &end, int distance) {
  asm volatile(
      "{.reg .pred p; .reg .f32 d, e;\n"
      "shfl.sync.up.b32 d|p, %0, %2, 0, 0xffffffff;\n"
      "shfl.sync.up.b32 e, %1, %2, 0, 0xffffffff;\n"
      "@p fma.rn.f32 %1, %0, e, %1;\n"
      "@p mul.f32 %0, %0, d;}"
      : "+f"(decay), "+f"(end) : "r"(distance));
}

// Arrives at `bar` once all copies this thread has issued are done.
__device__ void arrive_after_copies(u32 bar) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" :: "r"(bar) : "memory");
}

__device__ void arrive(u32 bar) {
  asm volatile("{.reg .b64 s; mbarrier.arrive.shared.b64 s, [%0];}" :: "r"(bar) : "memory");
}

__device__ void wait(u32 bar, u32 parity) {
  u32 done;
  do {
    asm volatile("{.reg .pred p;\n"
#if __CUDA_ARCH__ >= 900
                 "mbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n"
#else
                 "mbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n"
#endif
                 "selp.u32 %0, 1, 0, p;}" : "=r"(done) : "r"(bar), "r"(parity) : "memory");
  } while (!done);
}

// The state with which a row's next tile starts, and the number of that tile.
struct Carry {
  float value[SCANNED];
  int tile[SCANNED];
};

// 8 bytes are written at once, so a value is never seen without its own tile's number.
__device__ Carry read_carry(u32 slot) {
  Carry c;
#pragma unroll
  for (int r = 0; r < SCANNED; r++)
    asm volatile("ld.volatile.shared.v2.b32 {%0, %1}, [%2];"
                 : "=f"(c.value[r]), "=r"(c.tile[r]) : "r"(slot + 8 * r) : "memory");
  return c;
}

__device__ void write_carry(u32 slot, float value, int tile) {
  asm volatile("st.volatile.shared.v2.b32 [%0], {%1, %2};"
               :: "r"(slot), "f"(value), "r"(tile) : "memory");
}

struct Work {
  const char *u, *x;  // planes of this order, x from its own first plane
  char *y;
  const float *rows;
  int channels, units, tiles, first;  // `first` channel of the block
};

extern __shared__ uint4 shared_memory[];

constexpr int CONSTANTS_AT = 2 * TEAM * STAGE;
constexpr int CONSTANTS = (N + RANK) * ROWS * (1 + PAIRED);  // of a warp
constexpr int CARRIES_AT = CONSTANTS_AT + ((GROUP_WARPS * CONSTANTS * 4 + 15) & ~15);
constexpr int BARRIERS_AT = CARRIES_AT + GROUP_WARPS * N * ROWS * 8;

// Where piece c of a plane lies in its tile: no two lanes in one bank.
__device__ u32 place_of(int c) { return (UNIT == 32 ? c ^ (c >> 3 & 1) : c) * 16; }

// Copy a tile's planes to a stage.
template <bool REVERSED>
__device__ void fill(const Work &job, int tile, u32 stage, u32 full, int thread) {
  constexpr int STEP = GROUP_THREADS / CHUNKS;  // planes that are copied at a time
  int chunk = thread % CHUNKS, plane = thread / CHUNKS;
  int base = REVERSED ? job.units - (tile + 1) * 32 : tile * 32;
  int unit = base + chunk * 16 / UNIT;
  bool inside = unit >= 0 && unit < job.units;
  u64 pitch = (u64)job.units * UNIT, at = inside ? (u64)base * UNIT + chunk * 16 : 0;
  u32 to = stage + plane * TILE + place_of(chunk);
  const char *from = job.x + plane * pitch + at;
#pragma unroll
  for (int i = 0; i < WIDTH / STEP; i++, from += STEP * pitch)
    copy_16(to + i * STEP * TILE, from, inside);
  if (plane < WIDTH % STEP) copy_16(to + WIDTH / STEP * STEP * TILE, from, inside);
#pragma unroll
  for (int i = 0; i < BLOCK_ROWS; i += STEP) {
    int d = min(job.first + plane + i, job.channels - 1);
    copy_16(to + (WIDTH + i) * TILE, job.u + d * pitch + at, inside);
  }
  arrive_after_copies(full);
}

__device__ Unit read_unit(u32 plane, u32 offset) {
  Unit t;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
      : "=r"(t.w[0]), "=r"(t.w[1]), "=r"(t.w[2]), "=r"(t.w[3]) : "r"(plane + offset));
  if constexpr (UNIT == 32)
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
        : "=r"(t.w[4]), "=r"(t.w[5]), "=r"(t.w[6]), "=r"(t.w[7]) : "r"(plane + (offset ^ 16)));
  return t;
}

// A warp's registers while it works on a tile: all tokens of a lane, of each row. Odd lanes of a
// paired warp have its rows in the other order, so that row 0 is the one they scan.
struct Tokens {
  float dt[ROWS][ITEMS], x[ROWS][ITEMS], y[ROWS][ITEMS];  // x = dt u
  float decay[ROWS][ITEMS], input[ROWS][ITEMS];           // of one state: exp(dt A), B x
  float total[ROWS], across[ROWS];                        // sum of dt; product of decays
  float end[ROWS];                                        // last h, started from 0
};

// Decays and inputs of a state, and what it ends with in every lane by itself.
template <bool REVERSED>
__device__ __forceinline__ void enter(Tokens &t, const float *A, const Unit &B, int i) {
  float b = B.at<REVERSED>(i);
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    if (i == 0) t.across[r] = exp2_fast(A[r] * t.total[r]);
    t.decay[r][i] = exp2_fast(A[r] * t.dt[r][i]);
    t.input[r][i] = b * t.x[r][i];
    t.end[r] = i ? fmaf(t.decay[r][i], t.end[r], t.input[r][i]) : t.input[r][i];
  }
}

// A carry that belongs to this tile.
__device__ __forceinline__ void renew(Carry &carry, u32 slot, int tile) {
  if (TEAM == 1) return;
  for (;;) {
    bool stale = false;
#pragma unroll
    for (int r = 0; r < SCANNED; r++) stale |= carry.tile[r] != tile;
    if (!__any_sync(ALL, stale)) return;
    carry = read_carry(slot);
  }
}

// The scan over lanes: from products of decays and ends to the states that enter the lanes.
__device__ __forceinline__ void scan_lanes(const float (&across)[ROWS], const float (&ends)[ROWS],
                                           float (&h)[ROWS], Carry &carry, u32 slot, int tile,
                                           int lane) {
  float decay[ROWS], end[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; r++) decay[r] = across[r], end[r] = ends[r];
  if constexpr (PAIRED) {
    // Lanes 2 j and 2 j + 1 are one link of the row that this lane scans.
    const bool odd = lane & 1;
    float other_decay = __shfl_xor_sync(ALL, decay[1], 1);
    float other_end = __shfl_xor_sync(ALL, end[1], 1);
    const float first_decay = odd ? other_decay : decay[0], first_end = odd ? other_end : end[0];
    const float second_decay = odd ? decay[0] : other_decay, second_end = odd ? end[0] : other_end;
    float link_decay = decay[0] * other_decay;
    float link_end = fmaf(second_decay, first_end, second_end);
#pragma unroll
    for (int distance = 2; distance < 32; distance *= 2) join(link_decay, link_end, distance);
    renew(carry, slot, tile);
    float after = fmaf(link_decay, carry.value[0], link_end);
    if (lane >= 30) write_carry(slot, after, tile + 1);
    float before = __shfl_up_sync(ALL, after, 2);
    before = lane < 2 ? carry.value[0] : before;
    float between = fmaf(first_decay, before, first_end);
    h[0] = odd ? between : before;
    h[ROWS - 1] = __shfl_xor_sync(ALL, odd ? before : between, 1);
  } else {
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2)
#pragma unroll
      for (int r = 0; r < ROWS; r++) join(decay[r], end[r], distance);
    renew(carry, slot, tile);
#pragma unroll
    for (int r = 0; r < SCANNED; r++) {
      float after = fmaf(decay[r], carry.value[r], end[r]);
      if (lane == 31) write_carry(slot + 8 * r, after, tile + 1);
      h[r] = __shfl_up_sync(ALL, after, 1);
      h[r] = lane == 0 ? carry.value[r] : h[r];
    }
  }
}

// State n from the scan over lanes to its part of y; unless it is the last, state n + 1 enters on
// the way, which spreads the exponentials evenly and takes over the registers one by one.
template <bool REVERSED, bool LAST>
__device__ __forceinline__ void state(Tokens &t, const float *A, u32 B_plane, u32 offset, u32 slot,
                                      int tile, int lane) {
  Carry carry = read_carry(slot);
  float h[ROWS], next_A[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; r++) next_A[r] = LAST ? 0.0f : A[ROWS + r];
  Unit C = read_unit(B_plane + N * TILE, offset), B;
  if (!LAST) B = read_unit(B_plane + TILE, offset);
  scan_lanes(t.across, t.end, h, carry, slot, tile, lane);
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    float c = C.at<REVERSED>(i);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      h[r] = fmaf(t.decay[r][i], h[r], t.input[r][i]);
      t.y[r][i] = fmaf(c, h[r], t.y[r][i]);
    }
    if (!LAST) enter<REVERSED>(t, next_A, B, i);
  }
}

// dt, x and the first part of y, D u.
template <bool REVERSED>
__device__ __forceinline__ void begin(Tokens &t, const float *weight, const float *bias,
                                      const float *skip, u32 stage, u32 u_plane, u32 offset,
                                      int swap) {
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int i = 0; i < ITEMS; i++) t.dt[r][i] = bias[r];
#pragma unroll 4
  for (int k = 0; k < RANK; k++) {
    Unit low = read_unit(stage + k * TILE, offset);
    float w[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) w[r] = weight[k * ROWS + r];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      float v = low.at<REVERSED>(i);
#pragma unroll
      for (int r = 0; r < ROWS; r++) t.dt[r][i] = fmaf(w[r], v, t.dt[r][i]);
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    Unit u = read_unit(u_plane + (r ^ swap) * TILE, offset);
    t.total[r] = 0.0f;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      float v = u.at<REVERSED>(i);
      t.dt[r][i] = softplus(t.dt[r][i]);
      t.total[r] += t.dt[r][i];
      t.x[r][i] = t.dt[r][i] * v;
      t.y[r][i] = skip[r] * v;
    }
  }
}

template <bool REVERSED> __device__ __forceinline__ void walk(const Work &job) {
  char *shared = (char *)shared_memory;
  const int lane = threadIdx.x % 32, group = threadIdx.x / GROUP_THREADS;
  const int thread = threadIdx.x % GROUP_THREADS, member = thread / 32;
  const int mine = REVERSED ? 31 - lane : lane;  // this lane's unit of a tile
  const int swap = PAIRED ? lane & 1 : 0;        // row r is channel r ^ swap of the warp's
  const u32 offset = place_of(mine * (UNIT / 16));
  const u32 stages = shared_address(shared) + group * 2 * STAGE;
  const u32 full = shared_address(shared) + BARRIERS_AT + group * 32, empty = full + 16;
  const u32 carries = shared_address(shared) + CARRIES_AT + member * N * ROWS * 8;
  float *const all = (float *)(shared + CONSTANTS_AT) + member * CONSTANTS;
  const float *constants = all + swap * (N + RANK) * ROWS, *weight = constants + N * ROWS;

  float bias[ROWS], skip[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int d = min(job.first + member * ROWS + r, job.channels - 1);
    const float *row = job.rows + (u64)d * PARAMETERS;
    if (group) continue;
    for (int i = lane; i < N + RANK; i += 32) {
      all[i * ROWS + r] = row[i];
      if (PAIRED) all[(N + RANK + i) * ROWS + (r ^ 1)] = row[i];
    }
    for (int n = lane; n < N; n += 32) write_carry(carries + (n * ROWS + r) * 8, 0.0f, 0);
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int d = min(job.first + member * ROWS + (r ^ swap), job.channels - 1);
    bias[r] = job.rows[(u64)d * PARAMETERS + N + RANK];
    skip[r] = job.rows[(u64)d * PARAMETERS + N + RANK + 1];
  }
  if (thread == 0) {
    for (int s = 0; s < 2; s++) {
      asm volatile("mbarrier.init.shared.b64 [%0], %1;" :: "r"(full + 8 * s), "r"(GROUP_THREADS));
      asm volatile("mbarrier.init.shared.b64 [%0], %1;" :: "r"(empty + 8 * s), "r"(GROUP_WARPS));
    }
  }
  __syncthreads();

  if (group < job.tiles) fill<REVERSED>(job, group, stages, full, thread);
  Tokens t;
  for (int turn = 0, tile = group; tile < job.tiles; turn++, tile += TEAM) {
    const int s = turn & 1;
    const u32 stage = stages + s * STAGE;
    u32 B_plane = stage + RANK * TILE, slot = carries + 8 * swap;
    const float *A = constants;
    wait(full + 8 * s, turn >> 1 & 1);
    begin<REVERSED>(t, weight, bias, skip, stage, stage + (WIDTH + member * ROWS) * TILE, offset,
                    swap);
    Unit B = read_unit(B_plane, offset);
#pragma unroll
    for (int i = 0; i < ITEMS; i++) enter<REVERSED>(t, A, B, i);
#pragma unroll 1
    for (int n = 0; n < N; n++) {
      // The other stage is refilled late enough for all warps to have left it.
      if (n == N / 4 && tile + TEAM < job.tiles) {
        if (turn) wait(empty + 8 * (1 - s), (turn - 1) >> 1 & 1);
        fill<REVERSED>(job, tile + TEAM, stages + (1 - s) * STAGE, full + 8 * (1 - s), thread);
      }
      if (n == N - 1) break;
      state<REVERSED, false>(t, A, B_plane, offset, slot, tile, lane);
      A += ROWS, B_plane += TILE, slot += 8 * ROWS;
    }
    state<REVERSED, true>(t, A, B_plane, offset, slot, tile, lane);
    __syncwarp();
    if (lane == 0) arrive(empty + 8 * s);

    int unit = REVERSED ? job.units - 1 - (tile * 32 + lane) : tile * 32 + lane;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      int d = job.first + member * ROWS + (r ^ swap);
      if (unit < 0 || unit >= job.units || d >= job.channels) continue;
      Unit out = packed<REVERSED>(t.y[r]);
      uint4 *to = (uint4 *)(job.y + ((u64)d * job.units + unit) * UNIT);
      to[0] = make_uint4(out.w[0], out.w[1], out.w[2], out.w[3]);
      if constexpr (UNIT == 32) to[1] = make_uint4(out.w[4], out.w[5], out.w[6], out.w[7]);
    }
  }
}

// u (2, B, D, units), rows then columns; x (2, B, 2 WIDTH, units), both directions' planes;
// rows (K, D, PARAMETERS) fp32; y (B, K, D, units) by forward position.
extern "C" __global__ void __launch_bounds__(WARPS * 32, 1)
scan(const char *u, const char *x, const float *rows, char *y, int channels, int units) {
  const int k = blockIdx.y, b = blockIdx.z, batch = gridDim.z;
  const int columns = k % 2, reversed = k / 2;
  const u64 pitch = (u64)units * UNIT, sample = columns * batch + b;
  Work job;
  job.u = u + sample * channels * pitch;
  job.x = x + (sample * 2 + reversed) * WIDTH * pitch;
  job.y = y + (u64)(b * 4 + k) * channels * pitch;
  job.rows = rows + (u64)k * channels * PARAMETERS;
  job.channels = channels;
  job.units = units;
  job.tiles = (units + 31) / 32;
  job.first = blockIdx.x * BLOCK_ROWS;
  if (reversed)
    walk<true>(job);
  else
    walk<false>(job);
}
