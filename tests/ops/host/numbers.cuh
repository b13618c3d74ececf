// As vfimamba_cli/ops/numbers.cuh, on a processor.

#pragma once

#include "cuda_host.h"

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

constexpr float LOG2_E = 1.4426950408889634f;

inline float exp2_fast(float x) { return exp2f(x); }

inline float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

inline float bf16_low(u32 w) { return __uint_as_float(w << 16); }

inline float bf16_high(u32 w) { return __uint_as_float(w & 0xffff0000u); }

inline u16 bf16_rounded(float x) {
  u32 w = __float_as_uint(x);
  return x != x ? 0x7fff : (u16)((w + 0x7fff + (w >> 16 & 1)) >> 16);  // to the nearest, or even
}

inline u32 bf16_pack(float low, float high) {
  return bf16_rounded(low) | (u32)bf16_rounded(high) << 16;
}

inline float half_value(u16 bits) {
  _Float16 y;
  memcpy(&y, &bits, 2);
  return (float)y;
}

inline u16 rounded(float x) {
  if (TYPE == 2) return bf16_rounded(x);
  _Float16 y = (_Float16)x;
  u16 bits;
  memcpy(&bits, &y, 2);
  return bits;
}

inline float low_half(u32 w) { return TYPE == 2 ? bf16_low(w) : half_value((u16)w); }

inline float high_half(u32 w) { return TYPE == 2 ? bf16_high(w) : half_value(w >> 16); }

inline u32 pack(float low, float high) { return rounded(low) | (u32)rounded(high) << 16; }

// d += a b, (16, DEPTH) times (DEPTH, 8), of numbers that VALUE reads from the half words.
template <int DEPTH, class Value>
inline void multiply(float (&d)[4], const u32 (&mine)[6], Value value) {
  const host::Words& of = host::warp().show(mine, 6);
  int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < DEPTH; ++k) {
      u32 left = of[4 * g + k % 8 / 2][i / 2 + k / 8 * 2];
      u32 right = of[4 * (2 * t + i % 2) + k % 8 / 2][4 + k / 8];
      d[i] += value(left >> k % 2 * 16) * value(right >> k % 2 * 16);
    }
  __syncwarp();
}

inline void multiply_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  multiply<16>(d, {a[0], a[1], a[2], a[3], b0, b1}, [](u32 w) { return bf16_low(w); });
}

inline void multiply_16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  multiply<16>(d, {a[0], a[1], a[2], a[3], b0, b1}, [](u32 w) { return low_half(w); });
}

inline void multiply_8(float (&d)[4], const u32 (&a)[4], u32 b0) {
  multiply<8>(d, {a[0], a[1], 0, 0, b0, 0}, [](u32 w) { return low_half(w); });
}
