// Gradients of a chunk of the four-order scan in half precision; README.md, "Gradients on CUDA".
//
// F = 2 frames, B batch, D channels, N states, R rank, P = H W pixels, K = 4 orders, M chunks.
// Layouts are those of triton_gradients.py, whose `chunk_gradients` this replaces: u (F, B, P, D),
// x (F, B, P, K (R + 2 N)), dLoss/dy (2, B, 2 P, D) by position along rows and along columns,
// states (B, M, K, N, D).
//
// A block takes 64 channels of one order and chunk, a warp 16 of them: lanes c and c + 16 share
// channel c, eight states each. In three phases, all of a chunk's tokens at a time:
//   0. dt of every token, each of the two lanes for one frame; u and dLoss/dy beside it
//   1. forwards: the state before every segment of four tokens is kept in shared memory
//   2. backwards, segment by segment: its states again, in registers, then its gradients
// Sums over channels (of B and C) are products on the tensor cores: states' adjoints and states,
// (32 per token) x (16 channels), times the vectors dt u and dLoss/dy.
//
// Offsets into u are 32-bit. Compiled at run time, without any header, for -DTYPE (1 fp16, 2 bf16)
// and RANK.

typedef unsigned int u32;
typedef unsigned short u16;
typedef long long i64;

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
constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;
static_assert(RANK % 8 == 0, "rows of x are whole pieces of 16 bytes");

struct Staged {                              // of one warp
  uint2 token[TOKENS][CHANNELS];             // dt; u, and dLoss/dy in the upper half
  float4 states[SEGMENTS][2][32];            // later the sums of B and C: (SEGMENT, 2 N) floats
  unsigned char factor[CHANNELS * PITCH];
};

struct Shared {
  float x[TOKENS][WIDTH];
  int row[TOKENS];                           // of u and x, then where it begins in u
  int position[TOKENS];                      // where the row of dLoss/dy begins
  Staged warp[WARPS];
};

__device__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// As in lanes.cu.
__device__ float softplus(float x) {
  float e = exp2_fast(fabsf(x) * -LOG2_E);
  float p = fmaf(e, -0.00853920449f, 0.0440896153f);
  p = fmaf(e, p, -0.107681692f);
  p = fmaf(e, p, 0.1774524f);
  p = fmaf(e, p, -0.244954616f);
  p = fmaf(e, p, 0.332754791f);
  p = fmaf(e, p, -0.499974042f);
  p = fmaf(e, p, 0.999999821f);
  return fmaf(e, p, fmaxf(x, 0.0f));
}

// d softplus / dx at dt = softplus(x): 1 - e^-dt, by its series where that would cancel.
__device__ float slope(float dt) {
  float series = dt * (1.0f - dt * (0.5f - dt * (0.166666667f - dt * 0.0416666667f)));
  return dt < 0.03f ? series : 1.0f - exp2_fast(-LOG2_E * dt);
}

__device__ float low_half(u32 w) {
  float y;
  if (TYPE == 2) return __uint_as_float(w << 16);
  asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l;}" : "=f"(y) : "r"(w));
  return y;
}

__device__ float high_half(u32 w) {
  float y;
  if (TYPE == 2) return __uint_as_float(w & 0xffff0000u);
  asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, h;}" : "=f"(y) : "r"(w));
  return y;
}

__device__ u16 rounded(float x) {
  u16 y;
  if (TYPE == 2)
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
  else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}

// The products' factors are bf16 whatever the tensors are: adjoints may be beyond fp16.
__device__ u32 pack(float low, float high) {
  u32 w;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
  return w;
}

__device__ void load_eight(float* to, const float* from) {
#pragma unroll
  for (int i = 0; i < OWN; i += 4) {
    float4 v = *reinterpret_cast<const float4*>(from + i);
    to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
  }
}

// Where the chunk's tokens lie, in the order of the scan, and their rows of x in fp32.
__device__ void stage_tokens(
    Shared& shared, const u16* x, int k, int chunk, int count, int b, int batch, int height,
    int width, int channels) {
  int pixels = height * width, backwards = k / 2;
  if (threadIdx.x < TOKENS) {
    int i = threadIdx.x / 2, frame = (threadIdx.x & 1) ^ backwards;
    i = i < count ? i : 0;                   // what lies past the chunk is read and not used
    int q = chunk * PIXELS + (backwards ? count - 1 - i : i);
    int p = k % 2 ? (q % height) * width + q / height : q;
    shared.row[threadIdx.x] = (frame * batch + b) * pixels + p;
    shared.position[threadIdx.x] = (2 * ((k % 2 * batch + b) * pixels + q) + frame) * channels;
  }
  __syncthreads();
  constexpr int PIECES = WIDTH / 8;
  for (int i = threadIdx.x; i < TOKENS * PIECES; i += THREADS) {
    int token = i / PIECES, piece = i % PIECES;
    const u16* from = x + (i64)shared.row[token] * (ORDERS * WIDTH) + k * WIDTH + 8 * piece;
    uint4 v = *reinterpret_cast<const uint4*>(from);
    float* to = shared.x[token] + 8 * piece;
    to[0] = low_half(v.x), to[1] = high_half(v.x), to[2] = low_half(v.y), to[3] = high_half(v.y);
    to[4] = low_half(v.z), to[5] = high_half(v.z), to[6] = low_half(v.w), to[7] = high_half(v.w);
  }
  __syncthreads();
  if (threadIdx.x < TOKENS) shared.row[threadIdx.x] *= channels;
  __syncthreads();
}

// Sums over a warp's channels for a segment's tokens: lane 4 g + t gets, of token t, dLoss/dB and
// dLoss/dC of states g and g + 8. Product i of eight is of token i / 2, B if i is even.
__device__ void sum_channels(const Staged& mine, int segment, int lane, float (&sums)[4]) {
  int g = lane / 4, t = lane % 4, token = segment * SEGMENT + g / 2;
  u32 right[2];                              // column g: dt u of a token, or its dLoss/dy
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    int c = 2 * t + 8 * i;
    uint4 two = *reinterpret_cast<const uint4*>(&mine.token[token][c]);
    float first = g % 2 ? high_half(two.y) : __uint_as_float(two.x) * low_half(two.y);
    float second = g % 2 ? high_half(two.w) : __uint_as_float(two.z) * low_half(two.w);
    right[i] = pack(first, second);
  }
  int c = lane % 8 + lane / 16 * 8, half = lane / 8 % 2;
  u32 address = (u32)__cvta_generic_to_shared(mine.factor + c * PITCH + 16 * half);
#pragma unroll
  for (int i = 0; i < 2 * SEGMENT; ++i) {
    u32 a0, a1, a2, a3;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3) : "r"(address + 32 * i) : "memory");
    float d0 = 0, d1 = 0, d2 = 0, d3 = 0;
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(right[0]), "r"(right[1]));
    if (i / 2 == t) {                        // column i is in lanes t = i / 2
      sums[i % 2 * 2] = i % 2 ? d1 : d0;
      sums[i % 2 * 2 + 1] = i % 2 ? d3 : d2;
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, 3) gradients(
    const u16* u, const u16* x, const float* A2, const float* weight, const float* bias,
    const float* skip, const float* starts, const float* carries, const u16* grad, u16* grad_u,
    u16* grad_dt, u16* grad_BC, float* grad_A, float* grad_D, int batch, int height, int width,
    int channels, int chunks) {
  extern __shared__ __align__(16) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  int lane = threadIdx.x % 32, half = lane / CHANNELS, c = lane % CHANNELS;
  Staged& mine = shared.warp[threadIdx.x / 32];
  int d = (blockIdx.x * WARPS + threadIdx.x / 32) * CHANNELS + c;
  int chunk = blockIdx.y, b = blockIdx.z / ORDERS, k = blockIdx.z % ORDERS;
  int pixels = height * width, count = min(PIXELS, pixels - chunk * PIXELS);
  stage_tokens(shared, x, k, chunk, count, b, batch, height, width, channels);

  {
    float w[RANK], shift = bias[k * channels + d];
#pragma unroll
    for (int r = 0; r < RANK; ++r) w[r] = weight[(k * RANK + r) * channels + d];
#pragma unroll 4
    for (int i = 0; i < PIXELS; ++i) {
      int token = 2 * i + half;
      u32 value = u[shared.row[token] + d], dy = grad[shared.position[token] + d];
      float raw = shift;
#pragma unroll
      for (int r = 0; r < RANK; ++r) raw = fmaf(w[r], shared.x[token][r], raw);
      bool inside = i < count;               // tokens past the chunk leave everything as it is
      mine.token[token][c] =
          inside ? make_uint2(__float_as_uint(softplus(raw)), value | dy << 16) : make_uint2(0, 0);
    }
  }
  __syncwarp();

  i64 tile = (i64)(b * chunks + chunk) * ORDERS + k;
  const float* of_lane = starts + (tile * N + half * OWN) * channels + d;
  float A[OWN], h[OWN];
#pragma unroll
  for (int n = 0; n < OWN; ++n) {
    A[n] = A2[(k * N + half * OWN + n) * channels + d];
    h[n] = of_lane[(i64)n * channels];
  }
  for (int s = 0; s < SEGMENTS; ++s) {
    mine.states[s][0][lane] = make_float4(h[0], h[1], h[2], h[3]);
    mine.states[s][1][lane] = make_float4(h[4], h[5], h[6], h[7]);
    if (s == SEGMENTS - 1) break;
#pragma unroll
    for (int i = 0; i < SEGMENT; ++i) {
      int token = s * SEGMENT + i;
      uint2 own = mine.token[token][c];
      float dt = __uint_as_float(own.x), dt_u = dt * low_half(own.y), B[OWN];
      load_eight(B, shared.x[token] + RANK + half * OWN);
#pragma unroll
      for (int n = 0; n < OWN; ++n) h[n] = fmaf(exp2_fast(A[n] * dt), h[n], dt_u * B[n]);
    }
  }

  float carry[OWN], sum_A[OWN], sum_D = 0, D = skip[k * channels + d];
  of_lane = carries + (tile * N + half * OWN) * channels + d;
#pragma unroll
  for (int n = 0; n < OWN; ++n) carry[n] = of_lane[(i64)n * channels], sum_A[n] = 0;
  u16* out = (half ? grad_dt : grad_u) + (i64)k * 2 * batch * pixels * channels + d;
  for (int s = SEGMENTS - 1; s >= 0; --s) {
    float before[SEGMENT + 1][OWN], decay[SEGMENT][OWN];  // before[i + 1] is after token i
    float4 low = mine.states[s][0][lane], high = mine.states[s][1][lane];
    before[0][0] = low.x, before[0][1] = low.y, before[0][2] = low.z, before[0][3] = low.w;
    before[0][4] = high.x, before[0][5] = high.y, before[0][6] = high.z, before[0][7] = high.w;
#pragma unroll
    for (int i = 0; i < SEGMENT; ++i) {
      int token = s * SEGMENT + i;
      uint2 own = mine.token[token][c];
      float dt = __uint_as_float(own.x), dt_u = dt * low_half(own.y), B[OWN];
      load_eight(B, shared.x[token] + RANK + half * OWN);
#pragma unroll
      for (int n = 0; n < OWN; ++n) {
        decay[i][n] = exp2_fast(A[n] * dt);
        before[i + 1][n] = fmaf(decay[i][n], before[i][n], dt_u * B[n]);
      }
    }
    __syncwarp();                            // the factor's last reader is done
#pragma unroll
    for (int i = SEGMENT - 1; i >= 0; --i) {
      int token = s * SEGMENT + i;
      uint2 own = mine.token[token][c];
      float dt = __uint_as_float(own.x), value = low_half(own.y), dy = high_half(own.y);
      float B[OWN], C[OWN], adjoint[OWN];
      load_eight(B, shared.x[token] + RANK + half * OWN);
      load_eight(C, shared.x[token] + RANK + N + half * OWN);
      float through = 0, exponents = 0;      // dLoss / d(dt u); sum over states of q A
#pragma unroll
      for (int n = 0; n < OWN; ++n) {
        adjoint[n] = fmaf(C[n], dy, carry[n]);
        through = fmaf(adjoint[n], B[n], through);
        carry[n] = adjoint[n] * decay[i][n];
        float q = carry[n] * before[i][n];   // dLoss / d(dt A)
        exponents = fmaf(q, A[n], exponents);
        sum_A[n] = fmaf(q, dt, sum_A[n]);
      }
      const float* after = before[i + 1];
      unsigned char* place = mine.factor + c * PITCH + 2 * (i * 2 * N + half * OWN);
      *reinterpret_cast<uint4*>(place) = make_uint4(
          pack(adjoint[0], adjoint[1]), pack(adjoint[2], adjoint[3]), pack(adjoint[4], adjoint[5]),
          pack(adjoint[6], adjoint[7]));
      *reinterpret_cast<uint4*>(place + 2 * N) = make_uint4(
          pack(after[0], after[1]), pack(after[2], after[3]), pack(after[4], after[5]),
          pack(after[6], after[7]));
      through += __shfl_xor_sync(0xffffffffu, through, CHANNELS);
      exponents += __shfl_xor_sync(0xffffffffu, exponents, CHANNELS);
      sum_D = fmaf(dy, value, sum_D);
      float to_u = fmaf(through, dt, D * dy);
      float to_dt = fmaf(through, value, exponents * LN_2) * slope(dt);
      if (token < 2 * count)
        out[shared.row[token]] = rounded(half ? to_dt : to_u);
    }
    __syncwarp();
    float sums[4];
    sum_channels(mine, s, lane, sums);
    float* kept = reinterpret_cast<float*>(mine.states[s]) + lane % 4 * 2 * N + lane / 4;
    kept[0] = sums[0], kept[8] = sums[1], kept[N] = sums[2], kept[N + 8] = sums[3];
  }
  float* to_A = grad_A + (tile * N + half * OWN) * channels + d;
#pragma unroll
  for (int n = 0; n < OWN; ++n) to_A[(i64)n * channels] = sum_A[n];
  if (half == 0) grad_D[tile * channels + d] = sum_D;

  __syncthreads();
  i64 of_block = (i64)blockIdx.x * 2 * batch * pixels;
  for (int i = threadIdx.x; i < 2 * count * 2 * N; i += THREADS) {
    int token = i / (2 * N), within = i % (SEGMENT * 2 * N);
    float sum = 0;
#pragma unroll
    for (int w = 0; w < WARPS; ++w)
      sum += reinterpret_cast<const float*>(shared.warp[w].states[token / SEGMENT])[within];
    i64 row = of_block + shared.row[token] / channels;
    grad_BC[(row * ORDERS + k) * (2 * N) + i % (2 * N)] = rounded(sum);
  }
}
