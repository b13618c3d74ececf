// As vfimamba_cli/ops/memory.cuh, on a processor. Copies are done at once.

#pragma once

#include "numbers.cuh"

inline u32 shared_address(const void* p) { return __cvta_generic_to_shared(p); }

inline void copy_16(u32 to, const void* from, bool inside) {
  if (inside)
    memcpy(memory + to, from, 16);
  else
    memset(memory + to, 0, 16);
}

inline void commit_copies() {}

template <int PENDING> inline void wait_copies() {}

// COUNT matrices of (8, 8) halves, a row's address from each lane; transposed or not.
template <int COUNT, bool TRANSPOSED> inline void matrices_of(u32 (&a)[4], u32 from) {
  const host::Words& rows = host::warp().show(&from, 1);
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (int i = 0; i < COUNT; ++i) {
    u16 two[2];
    for (int j = 0; j < 2; ++j) {
      int row = TRANSPOSED ? 2 * t + j : g, column = TRANSPOSED ? g : 2 * t + j;
      memcpy(two + j, memory + rows[8 * i + row][0] + 2 * column, 2);
    }
    a[i] = two[0] | (u32)two[1] << 16;
  }
  __syncwarp();
}

inline void load_matrices(u32 (&a)[4], u32 from) { matrices_of<4, false>(a, from); }

inline void load_half_step(u32 (&a)[4], u32 from) { matrices_of<2, false>(a, from); }

inline void load_transposed(u32 (&a)[4], u32 from) { matrices_of<4, true>(a, from); }

template <int COUNT> inline void load_words(u32* w, u32 from) {
  memcpy(w, memory + from, 4 * COUNT);
}

template <int COUNT> inline void store_words(char* to, const u32* w, bool really) {
  if (really) memcpy(to, w, 4 * COUNT);
}

// Of COUNT threads; barrier 0 is that of the whole block.
template <int COUNT> inline void some_barrier(int number) { host::meet(number, COUNT); }
