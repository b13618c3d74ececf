// CUDA's language on a processor: a block's threads take turns, each on a stack of its own, so that
// kernels are tested where there is no GPU. Blocks run one after another.

#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#define __device__
#define __global__
#define __shared__
#define __forceinline__ inline
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)

using std::max;
using std::min;

struct Dim3 { unsigned x, y, z; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };

inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline unsigned __float_as_uint(float x) {
  unsigned y;
  memcpy(&y, &x, 4);
  return y;
}

inline float __uint_as_float(unsigned x) {
  float y;
  memcpy(&y, &x, 4);
  return y;
}

Dim3 threadIdx, blockIdx, gridDim;
alignas(16) unsigned char memory[1 << 18];  // a block's dynamic shared memory

inline unsigned __cvta_generic_to_shared(const void* p) {
  return (unsigned)((const unsigned char*)p - memory);
}

namespace host {

constexpr size_t STACK = 1 << 16;

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[STACK]};
  bool done = false;
};

inline std::vector<Thread>* threads;
inline ucontext_t scheduler;
inline std::function<void()>* kernel;

inline void give_way() { swapcontext(&(*threads)[threadIdx.x].context, &scheduler); }

struct Meeting {
  int expected = 32, here = 0;
  unsigned number = 0;

  void wait() {
    unsigned mine = number;
    if (++here == expected) {
      here = 0, ++number;
      return;
    }
    while (mine == number) give_way();
  }
};

typedef unsigned Words[32][6];  // what each lane shows the others

struct Warp {
  Meeting meeting;
  Words words;

  const Words& show(const unsigned* mine, int count) {
    memcpy(words[threadIdx.x % 32], mine, 4 * count);
    meeting.wait();
    return words;
  }
};

inline Meeting block;
inline std::map<int, Meeting> parts;  // of a block, by number
inline std::vector<Warp> warps;

inline Warp& warp() { return warps[threadIdx.x / 32]; }

inline void meet(int number, int count) {
  parts.try_emplace(number, Meeting{count}).first->second.wait();
}

inline void begin() {
  (*kernel)();
  (*threads)[threadIdx.x].done = true;
  give_way();
}

// Runs `body` in every thread of every block.
inline void launch(Dim3 grid, int count, std::function<void()> body) {
  gridDim = grid, kernel = &body;
  for (unsigned i = 0; i < grid.x * grid.y * grid.z; ++i) {
    blockIdx = {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
    memset(memory, 0xff, sizeof memory);  // NaN: nobody may count on zeros
    std::vector<Thread> all(count);
    threads = &all, warps.assign(count / 32, {}), block = {count}, parts.clear();
    for (Thread& one : all) {
      getcontext(&one.context);
      one.context.uc_stack.ss_sp = one.stack.get(), one.context.uc_stack.ss_size = STACK;
      one.context.uc_link = nullptr;
      makecontext(&one.context, begin, 0);
    }
    for (int left = count; left > 0;)
      for (int t = 0; t < count; ++t) {
        if (all[t].done) continue;
        threadIdx = {(unsigned)t, 0, 0};
        swapcontext(&scheduler, &all[t].context);
        left -= all[t].done;
      }
  }
}

}  // namespace host

inline void __syncthreads() { host::block.wait(); }
inline void __syncwarp() { host::warp().meeting.wait(); }

inline float __shfl_xor_sync(unsigned, float value, int distance) {
  unsigned mine = __float_as_uint(value);
  float other = __uint_as_float(host::warp().show(&mine, 1)[(threadIdx.x % 32) ^ distance][0]);
  __syncwarp();
  return other;
}
