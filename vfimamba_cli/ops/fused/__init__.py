"""Kernels of the half-precision network: few channels, and what lies between matrix products.

All activations are channels-last and contiguous, (N, H, W, C) or (T, C); arithmetic is fp32.
Importing a module of this package imports Triton, so nothing does that at start-up.
"""
