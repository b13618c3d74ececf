// The four-order scan of training in half precision, and its gradients; README.md, "Training on
// CUDA".
//
// F = 2 frames, B batch, D channels, N states, R rank, P = H W pixels, K = 4 orders, M chunks.
// Layouts are those of triton_kernels.py: u (F, B, P, D), x (F, B, P, K (R + 2 N)), dLoss/dy
// (2, B, 2 P, D) by position along rows and along columns, states (B, M, K, N, D).
//
// A block takes 64 channels of an order, a warp 16 of them: lanes c and c + 16 share channel c, with
// eight states each. Tokens are taken 32 at a time, a chunk:
//   0. dt of every token, each of the two lanes for one frame; u and dLoss/dy beside it
//   1. forwards
//   2. backwards, for gradients
// `outputs` walks a whole order so: with so many samples as training has there is enough to do side
// by side. `gradients` walks one against its direction, or takes one chunk of it. It keeps the state
// before every segment of four tokens, in bf16, and has the segment's states again, in registers,
// when it comes back. Sums over channels
// (of B and C) are products on the tensor cores: states' adjoints and states, (32 per token) x (16
// channels), times the vectors dt u and dLoss/dy.
//
// Offsets into u, x and y are 32-bit. Compiled at run time for -DTYPE (1 fp16, 2 bf16), RANK, and
// BLOCKS of `outputs` that a processor shall hold.

#include "memory.cuh"
#include "numbers.cuh"

constexpr int N = 16;        // states of a channel
constexpr int OWN = 8;       // of a lane
constexpr int ORDERS = 4;
constexpr int PIXELS = 16;   // of a chunk
constexpr int TOKENS = 2 * PIXELS;
constexpr int SEGMENT = 4;   // tokens
constexpr int SEGMENTS = TOKENS / SEGMENT;
constexpr int WARPS = 4;
constexpr int THREADS = 32 * WARPS;
constexpr int CHANNELS = 16; // of a warp
constexpr int WIDTH = RANK + 2 * N;
constexpr int ROWS = SEGMENT * 2 * N;        // of the left factor: per token, N for B and N for C
constexpr int PITCH = 2 * ROWS + 16;         // bytes of a channel's rows; 16 more: no bank conflicts
constexpr float LN_2 = 0.6931471805599453f;
static_assert(RANK % 8 == 0, "rows of x are whole pieces of 16 bytes");

struct Chunk {                               // what a block's warps share
  float x[TOKENS][WIDTH];
  int row[TOKENS];                           // where the token begins in u
  int source[TOKENS];                        // where its numbers for the order begin in x
  int position[TOKENS];                      // and in y or dLoss/dy
};

typedef uint2 Steps[TOKENS][CHANNELS];       // of one warp: dt; u, and dLoss/dy in the upper half

struct Staged {                              // of one warp
  Steps steps;
  uint4 states[SEGMENTS][32];                // bf16; later the sums of B and C: (SEGMENT, 2 N) floats
  unsigned char factor[CHANNELS * PITCH];
};

struct Forward {
  Chunk chunk;
  Steps steps[WARPS];
};

struct Backward {
  Chunk chunk;
  Staged warp[WARPS];
};

// d softplus / dx at dt = softplus(x): 1 - e^-dt, by its series where that would cancel.
__device__ float slope(float dt) {
  float series = dt * (1.0f - dt * (0.5f - dt * (0.166666667f - dt * 0.0416666667f)));
  return dt < 0.03f ? series : 1.0f - exp2_fast(-LOG2_E * dt);
}

__device__ void load_eight(float* to, const float* from) {
#pragma unroll
  for (int i = 0; i < OWN; i += 4) {
    float4 v = *reinterpret_cast<const float4*>(from + i);
    to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
  }
}

// Where the chunk's tokens lie, in the order of the scan, and their rows of x in fp32. `buffer` is
// which of y's or its gradient's, each (B, 2 P, D), the order's is.
__device__ void stage_chunk(
    Chunk& chunk, const u16* x, int number, int count, int k, int buffer, int b, int batch,
    int height, int width, int channels) {
  int pixels = height * width, backwards = k / 2;
  if (threadIdx.x < TOKENS) {
    int i = threadIdx.x / 2, frame = (threadIdx.x & 1) ^ backwards;
    i = i < count ? i : 0;                   // what lies past the chunk is read and not used
    int q = number * PIXELS + (backwards ? count - 1 - i : i);
    int p = k % 2 ? (q % height) * width + q / height : q;
    int row = (frame * batch + b) * pixels + p;
    chunk.row[threadIdx.x] = row * channels;
    chunk.source[threadIdx.x] = row * (ORDERS * WIDTH) + k * WIDTH;
    chunk.position[threadIdx.x] = (2 * ((buffer * batch + b) * pixels + q) + frame) * channels;
  }
  __syncthreads();
  constexpr int PIECES = WIDTH / 8;
  for (int i = threadIdx.x; i < TOKENS * PIECES; i += THREADS) {
    int token = i / PIECES, piece = i % PIECES;
    uint4 v = *reinterpret_cast<const uint4*>(x + chunk.source[token] + 8 * piece);
    float* to = chunk.x[token] + 8 * piece;
    to[0] = low_half(v.x), to[1] = high_half(v.x), to[2] = low_half(v.y), to[3] = high_half(v.y);
    to[4] = low_half(v.z), to[5] = high_half(v.z), to[6] = low_half(v.w), to[7] = high_half(v.w);
  }
  __syncthreads();
}

// Phase 0 for channel d, the warp's c-th, by the lane that has the tokens of `half`: those past the
// chunk leave everything as it is. Returns the sum of their dt.
template <bool GRADIENT>
__device__ float make_steps(
    Steps& steps, const Chunk& chunk, const u16* u, const u16* grad, const float* weight,
    const float* bias, int k, int d, int c, int half, int count, int channels) {
  float w[RANK], shift = bias[k * channels + d], total = 0;
#pragma unroll
  for (int r = 0; r < RANK; ++r) w[r] = weight[(k * RANK + r) * channels + d];
#pragma unroll (GRADIENT ? 8 : 4)
  for (int i = 0; i < PIXELS; ++i) {
    int token = 2 * i + half;
    u32 value = u[chunk.row[token] + d];
    if (GRADIENT) value |= (u32)grad[chunk.position[token] + d] << 16;
    float raw = shift;
#pragma unroll
    for (int r = 0; r < RANK; ++r) raw = fmaf(w[r], chunk.x[token][r], raw);
    bool inside = i < count;
    float dt = inside ? softplus(raw) : 0.0f;
    total += dt;
    steps[token][c] = make_uint2(__float_as_uint(dt), inside ? value : 0);
  }
  __syncwarp();
  return total;
}

// Sums over a warp's channels for a segment's tokens: lane 4 g + t gets, of token t, dLoss/dB and
// dLoss/dC of states g and g + 8. Product i of eight is of token i / 2, B if i is even.
__device__ void sum_channels(const Staged& mine, int segment, int lane, float (&sums)[4]) {
  int g = lane / 4, t = lane % 4, token = segment * SEGMENT + g / 2;
  u32 right[2];                              // column g: dt u of a token, or its dLoss/dy
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    int c = 2 * t + 8 * i;
    uint4 two = *reinterpret_cast<const uint4*>(&mine.steps[token][c]);
    float first = g % 2 ? high_half(two.y) : __uint_as_float(two.x) * low_half(two.y);
    float second = g % 2 ? high_half(two.w) : __uint_as_float(two.z) * low_half(two.w);
    right[i] = bf16_pack(first, second);
  }
  int c = lane % 8 + lane / 16 * 8, half = lane / 8 % 2;
  u32 address = shared_address(mine.factor + c * PITCH + 16 * half);
#pragma unroll
  for (int i = 0; i < 2 * SEGMENT; ++i) {
    u32 a[4];
    float d[4] = {};
    load_transposed(a, address + 32 * i);
    multiply_bf16(d, a, right[0], right[1]);
    if (i / 2 == t) {                        // column i is in lanes t = i / 2
      sums[i % 2 * 2] = d[i % 2];
      sums[i % 2 * 2 + 1] = d[2 + i % 2];
    }
  }
}

// A whole order: y (K, B, 2 P, D), the state each chunk starts from, and its sum of dt (B, M, K, D).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) outputs(
    const u16* u, const u16* x, const float* A2, const float* weight, const float* bias,
    const float* skip, u16* y, float* starts, float* totals, int batch, int height, int width,
    int channels, int chunks) {
  extern __shared__ __align__(16) unsigned char memory[];
  Forward& shared = *reinterpret_cast<Forward*>(memory);
  int lane = threadIdx.x % 32, half = lane / CHANNELS, c = lane % CHANNELS;
  Steps& steps = shared.steps[threadIdx.x / 32];
  int d = (blockIdx.x * WARPS + threadIdx.x / 32) * CHANNELS + c;
  int b = blockIdx.y / ORDERS, k = blockIdx.y % ORDERS;
  int pixels = height * width;
  const Chunk& chunk = shared.chunk;
  float A[OWN], h[OWN], D = skip[k * channels + d];
#pragma unroll
  for (int n = 0; n < OWN; ++n) A[n] = A2[(k * N + half * OWN + n) * channels + d], h[n] = 0;
  for (int m = 0; m < chunks; ++m) {
    int number = k / 2 ? chunks - 1 - m : m, count = min(PIXELS, pixels - number * PIXELS);
    if (m > 0) __syncthreads();              // the last chunk's readers are done
    stage_chunk(shared.chunk, x, number, count, k, k, b, batch, height, width, channels);
    float total =
        make_steps<false>(steps, chunk, u, u, weight, bias, k, d, c, half, count, channels);
    total += __shfl_xor_sync(0xffffffffu, total, CHANNELS);
    i64 tile = (i64)(b * chunks + number) * ORDERS + k;
    if (half == 0) totals[tile * channels + d] = total;
    float* start = starts + (tile * N + half * OWN) * channels + d;
#pragma unroll
    for (int n = 0; n < OWN; ++n) start[(i64)n * channels] = h[n];
#pragma unroll 2
    for (int i = 0; i < PIXELS; ++i) {
      float value[2], sum[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        int token = 2 * i + j;
        uint2 own = steps[token][c];
        float dt = __uint_as_float(own.x), dt_u = dt * low_half(own.y), B[OWN], C[OWN];
        load_eight(B, chunk.x[token] + RANK + half * OWN);
        load_eight(C, chunk.x[token] + RANK + N + half * OWN);
        value[j] = low_half(own.y), sum[j] = 0;
#pragma unroll
        for (int n = 0; n < OWN; ++n) {
          h[n] = fmaf(exp2_fast(A[n] * dt), h[n], dt_u * B[n]);
          sum[j] = fmaf(C[n], h[n], sum[j]);
        }
      }
      // Each of the two lanes gives the other its part of one token.
      float other = __shfl_xor_sync(0xffffffffu, half ? sum[0] : sum[1], CHANNELS);
      float out = fmaf(D, half ? value[1] : value[0], (half ? sum[1] : sum[0]) + other);
      if (i < count) y[chunk.position[2 * i + half] + d] = rounded(out);
    }
  }
}

// Runs over the chunk from h and keeps the state before each segment.
__device__ void keep_states(
    Staged& mine, const Chunk& chunk, const float (&A)[OWN], float (&h)[OWN], int lane) {
  int half = lane / CHANNELS, c = lane % CHANNELS;
  for (int s = 0; s < SEGMENTS; ++s) {
    mine.states[s][lane] = make_uint4(
        bf16_pack(h[0], h[1]), bf16_pack(h[2], h[3]), bf16_pack(h[4], h[5]),
        bf16_pack(h[6], h[7]));
    if (s == SEGMENTS - 1) break;
#pragma unroll
    for (int i = 0; i < SEGMENT; ++i) {
      int token = s * SEGMENT + i;
      uint2 own = mine.steps[token][c];
      float dt = __uint_as_float(own.x), dt_u = dt * low_half(own.y), B[OWN];
      load_eight(B, chunk.x[token] + RANK + half * OWN);
#pragma unroll
      for (int n = 0; n < OWN; ++n) h[n] = fmaf(exp2_fast(A[n] * dt), h[n], dt_u * B[n]);
    }
  }
}

// All gradients of a span of chunks, from the states that its chunks start from and the adjoints
// that enter it; the chunks are walked against the order.
extern "C" __global__ void __launch_bounds__(THREADS, RANK <= 16 ? 4 : 3) gradients(
    const u16* u, const u16* x, const float* A2, const float* weight, const float* bias,
    const float* skip, const float* starts, const float* carries, const u16* grad, u16* grad_u,
    u16* grad_dt, u16* grad_BC, float* grad_A, float* grad_D, float* grad_bias, int batch, int height,
    int width, int channels, int chunks, int walked) {
  extern __shared__ __align__(16) unsigned char memory[];
  Backward& shared = *reinterpret_cast<Backward*>(memory);
  int lane = threadIdx.x % 32, half = lane / CHANNELS, c = lane % CHANNELS;
  Staged& mine = shared.warp[threadIdx.x / 32];
  int d = (blockIdx.x * WARPS + threadIdx.x / 32) * CHANNELS + c;
  int b = blockIdx.z / ORDERS, k = blockIdx.z % ORDERS;
  int pixels = height * width;
  int first = blockIdx.y * walked, span = min(walked, chunks - first);
  const Chunk& chunk = shared.chunk;
  i64 tile = (i64)(b * gridDim.y + blockIdx.y) * ORDERS + k;
  float A[OWN], carry[OWN], sum_A[OWN], D = skip[k * channels + d];
  float sum = 0;                             // of D's gradient, or of the bias's
#pragma unroll
  for (int n = 0; n < OWN; ++n) {
    A[n] = A2[(k * N + half * OWN + n) * channels + d];
    carry[n] = carries[(tile * N + half * OWN + n) * channels + d], sum_A[n] = 0;
  }
  u16* out = (half ? grad_dt : grad_u) + (i64)k * 2 * batch * pixels * channels + d;
  for (int m = 0; m < span; ++m) {
    int number = first + (k / 2 ? m : span - 1 - m), count = min(PIXELS, pixels - number * PIXELS);
    if (m > 0) __syncthreads();              // the last chunk's readers are done
    stage_chunk(shared.chunk, x, number, count, k, k % 2, b, batch, height, width, channels);
    float h[OWN];
    const float* start =
        starts + (((i64)(b * chunks + number) * ORDERS + k) * N + half * OWN) * channels + d;
#pragma unroll
    for (int n = 0; n < OWN; ++n) h[n] = start[(i64)n * channels];
    make_steps<true>(mine.steps, chunk, u, grad, weight, bias, k, d, c, half, count, channels);
    keep_states(mine, chunk, A, h, lane);
    for (int s = SEGMENTS - 1; s >= 0; --s) {
      float before[SEGMENT + 1][OWN], decay[SEGMENT][OWN];  // before[i + 1] is after token i
      uint4 kept = mine.states[s][lane];
      before[0][0] = bf16_low(kept.x), before[0][1] = bf16_high(kept.x);
      before[0][2] = bf16_low(kept.y), before[0][3] = bf16_high(kept.y);
      before[0][4] = bf16_low(kept.z), before[0][5] = bf16_high(kept.z);
      before[0][6] = bf16_low(kept.w), before[0][7] = bf16_high(kept.w);
#pragma unroll
      for (int i = 0; i < SEGMENT; ++i) {
        int token = s * SEGMENT + i;
        uint2 own = mine.steps[token][c];
        float dt = __uint_as_float(own.x), dt_u = dt * low_half(own.y), B[OWN];
        load_eight(B, chunk.x[token] + RANK + half * OWN);
#pragma unroll
        for (int n = 0; n < OWN; ++n) {
          decay[i][n] = exp2_fast(A[n] * dt);
          before[i + 1][n] = fmaf(decay[i][n], before[i][n], dt_u * B[n]);
        }
      }
      __syncwarp();                          // the factor's last reader is done
      unsigned char* place = mine.factor + c * PITCH + 2 * half * OWN;
#pragma unroll
      for (int i = SEGMENT - 1; i >= 0; --i) {
        int token = s * SEGMENT + i;
        uint2 own = mine.steps[token][c];
        float dt = __uint_as_float(own.x), value = low_half(own.y), dy = high_half(own.y);
        float B[OWN], C[OWN], adjoint[OWN];
        load_eight(B, chunk.x[token] + RANK + half * OWN);
        load_eight(C, chunk.x[token] + RANK + N + half * OWN);
        float through = 0, exponents = 0;    // dLoss / d(dt u); sum over states of q A
#pragma unroll
        for (int n = 0; n < OWN; ++n) {
          adjoint[n] = fmaf(C[n], dy, carry[n]);
          through = fmaf(adjoint[n], B[n], through);
          carry[n] = adjoint[n] * decay[i][n];
          float q = carry[n] * before[i][n]; // dLoss / d(dt A)
          exponents = fmaf(q, A[n], exponents);
          sum_A[n] = fmaf(q, dt, sum_A[n]);
        }
        const float* after = before[i + 1];
        *reinterpret_cast<uint4*>(place + 4 * N * i) = make_uint4(
            bf16_pack(adjoint[0], adjoint[1]), bf16_pack(adjoint[2], adjoint[3]),
            bf16_pack(adjoint[4], adjoint[5]), bf16_pack(adjoint[6], adjoint[7]));
        *reinterpret_cast<uint4*>(place + 4 * N * i + 2 * N) = make_uint4(
            bf16_pack(after[0], after[1]), bf16_pack(after[2], after[3]),
            bf16_pack(after[4], after[5]), bf16_pack(after[6], after[7]));
        through += __shfl_xor_sync(0xffffffffu, through, CHANNELS);
        exponents += __shfl_xor_sync(0xffffffffu, exponents, CHANNELS);
        float to_u = fmaf(through, dt, D * dy);
        float to_dt = fmaf(through, value, exponents * LN_2) * slope(dt);
        sum += half ? to_dt : dy * value;
        if (token < 2 * count) out[chunk.row[token]] = rounded(half ? to_dt : to_u);
      }
      __syncwarp();
      float sums[4];
      sum_channels(mine, s, lane, sums);
      float* to = reinterpret_cast<float*>(mine.states[s]) + lane % 4 * 2 * N + lane / 4;
      to[0] = sums[0], to[8] = sums[1], to[N] = sums[2], to[N + 8] = sums[3];
    }
    __syncthreads();
    i64 of_block = (i64)blockIdx.x * 2 * batch * pixels;
    for (int i = threadIdx.x; i < 2 * count * 2 * N; i += THREADS) {
      int token = i / (2 * N), within = i % (SEGMENT * 2 * N);
      float total = 0;
#pragma unroll
      for (int w = 0; w < WARPS; ++w)
        total += reinterpret_cast<const float*>(shared.warp[w].states[token / SEGMENT])[within];
      i64 row = of_block + chunk.row[token] / channels;
      grad_BC[(row * ORDERS + k) * (2 * N) + i % (2 * N)] = rounded(total);
    }
  }
#pragma unroll
  for (int n = 0; n < OWN; ++n) grad_A[(tile * N + half * OWN + n) * channels + d] = sum_A[n];
  (half ? grad_bias : grad_D)[tile * channels + d] = sum;
}
