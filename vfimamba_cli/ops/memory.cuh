// To, from and within shared memory, whose addresses are 32-bit.

#pragma once

#include "numbers.cuh"

__device__ __forceinline__ u32 shared_address(const void *p) {
  return (u32)__cvta_generic_to_shared(p);
}

// Begin to copy 16 bytes to shared memory, zeros if not `inside`.
__device__ __forceinline__ void copy_16(u32 to, const void *from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :: "r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Until at most the last PENDING commits are not done.
template <int PENDING> __device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" :: "n"(PENDING) : "memory");
}

__device__ __forceinline__ void load_matrices(u32 (&a)[4], u32 from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(from) : "memory");
}

__device__ __forceinline__ void load_transposed(u32 (&a)[4], u32 from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(from) : "memory");
}

__device__ __forceinline__ void load_half_step(u32 (&a)[4], u32 from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(a[0]), "=r"(a[1]) : "r"(from));
}

// Of COUNT threads of a block; number 0 is that of __syncthreads.
template <int COUNT> __device__ __forceinline__ void some_barrier(int number) {
  asm volatile("bar.sync %0, %1;" :: "r"(number), "n"(COUNT) : "memory");
}

template <int COUNT> __device__ __forceinline__ void load_words(u32 *w, u32 from) {
  if (COUNT == 4)
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3]) : "r"(from) : "memory");
  else if (COUNT == 2)
    asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];"
                 : "=r"(w[0]), "=r"(w[1]) : "r"(from) : "memory");
  else
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(w[0]) : "r"(from) : "memory");
}

// COUNT words to memory if `really`, without a branch: addresses are then worked out only once.
template <int COUNT>
__device__ __forceinline__ void store_words(char *to, const u32 *w, bool really) {
  if (COUNT == 4)
    asm volatile("{.reg .pred p; setp.ne.u32 p, %5, 0; @p st.global.v4.b32 [%0], {%1, %2, %3, %4};}"
                 :: "l"(to), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"((u32)really) : "memory");
  else if (COUNT == 2)
    asm volatile("{.reg .pred p; setp.ne.u32 p, %3, 0; @p st.global.v2.b32 [%0], {%1, %2};}"
                 :: "l"(to), "r"(w[0]), "r"(w[1]), "r"((u32)really) : "memory");
  else
    asm volatile("{.reg .pred p; setp.ne.u32 p, %2, 0; @p st.global.b32 [%0], %1;}"
                 :: "l"(to), "r"(w[0]), "r"((u32)really) : "memory");
}
