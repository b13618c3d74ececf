// Numbers of the kernels: -DTYPE is 0 for fp32, 1 for fp16, 2 for bf16.

#pragma once

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

constexpr float LOG2_E = 1.4426950408889634f;

__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// max(x, 0) + log(1 + e^-|x|), the logarithm as e P(e) with P to 3e-7: small results keep digits.
__device__ __forceinline__ float softplus(float x) {
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

// Halves are of TYPE, two in a word.
__device__ __forceinline__ float low_half(u32 w) {
  float y;
  if (TYPE == 2) return __uint_as_float(w << 16);
  asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l;}" : "=f"(y) : "r"(w));
  return y;
}

__device__ __forceinline__ float high_half(u32 w) {
  float y;
  if (TYPE == 2) return __uint_as_float(w & 0xffff0000u);
  asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, h;}" : "=f"(y) : "r"(w));
  return y;
}

__device__ __forceinline__ u32 pack(float low, float high) {
  u32 w;
  if (TYPE == 2)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
  return w;
}

__device__ __forceinline__ u16 rounded(float x) {
  u16 y;
  if (TYPE == 2)
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
  else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}

// bf16 whatever TYPE is: the range of fp32.
__device__ __forceinline__ float bf16_low(u32 w) { return __uint_as_float(w << 16); }

__device__ __forceinline__ float bf16_high(u32 w) { return __uint_as_float(w & 0xffff0000u); }

__device__ __forceinline__ u32 bf16_pack(float low, float high) {
  u32 w;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
  return w;
}

// d += a b on tensor cores: (16 x 16) times (16 x 8), their elements as a warp's lanes hold them.
__device__ __forceinline__ void multiply_16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if TYPE == 2
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#endif
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same of bf16 numbers.
__device__ __forceinline__ void multiply_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// (16 x 8) times (8 x 8), of TYPE.
__device__ __forceinline__ void multiply_8(float (&d)[4], const u32 (&a)[4], u32 b0) {
#if TYPE == 2
  asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 "
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
#endif
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
}
