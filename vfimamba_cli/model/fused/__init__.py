"""VFIMamba for GPUs, the same four calls in half precision and far fewer passes over memory.

Built from a `VFIMamba` and giving what it gives, up to rounding. Activations are channels-last;
what lies between two matrix products or convolutions is one kernel; concatenations are written in
place; channels are padded with zeros to what the hardware takes at a time. Flow, mask, warp
coordinates, states, norms and the picture are fp32.

Importing a module of this package imports Triton.
"""
