// The direct convolutions, to be called from Python.

#include "cuda_host.h"

extern uint4 shared_memory[sizeof memory / 16] __attribute__((alias("memory")));

#include "fused/direct.cu"

extern "C" void run_convolve(unsigned x, unsigned y, unsigned z, void* const* p, const int* n) {
  host::launch({x, y, z}, THREADS, [=] {
    convolve((char*)p[0], (char*)p[1], (float*)p[2], (float*)p[3], (char*)p[4], (char*)p[5],
             (char*)p[6], n[0], n[1], n[2], n[3], n[4], n[5], n[6]);
  });
}
