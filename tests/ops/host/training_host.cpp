// The scan's kernels for training, to be called from Python.

#include "cuda_host.h"
#include "scan/training.cu"

// Arguments as `outputs` has them, and those of `gradients`: pointers, then sizes.
extern "C" void run_outputs(unsigned x, unsigned y, unsigned z, void* const* p, const int* n) {
  host::launch({x, y, z}, THREADS, [=] {
    outputs((u16*)p[0], (u16*)p[1], (float*)p[2], (float*)p[3], (float*)p[4], (float*)p[5],
            (u16*)p[6], (float*)p[7], (float*)p[8], n[0], n[1], n[2], n[3], n[4]);
  });
}

extern "C" void run_gradients(unsigned x, unsigned y, unsigned z, void* const* p, const int* n) {
  host::launch({x, y, z}, THREADS, [=] {
    gradients((u16*)p[0], (u16*)p[1], (float*)p[2], (float*)p[3], (float*)p[4], (float*)p[5],
              (float*)p[6], (float*)p[7], (u16*)p[8], (u16*)p[9], (u16*)p[10], (u16*)p[11],
              (float*)p[12], (float*)p[13], (float*)p[14], n[0], n[1], n[2], n[3], n[4], n[5]);
  });
}
