"""Deterministic weights for the golden tensors beside this file.

`golden_state_dict(shapes, seed)` fills a VFIMamba state dict (names and shapes of the published
checkpoints) from a formula, so that a test needs no 270 MB file: every tensor depends on its own
name, its shape and the seed alone.
"""

import math
import zlib

import numpy as np


def golden_tensor(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """float32 array of `shape` for the parameter `name`."""
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    noise = rng.standard_normal(shape).astype(np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "A_logs":  # log(1..N) per row, jittered
        return np.log(np.arange(1, shape[1] + 1, dtype=np.float32))[None, :] + 0.1 * noise
    if leaf in ("Ds", "skip_scale", "skip_scale2"):
        return 1.0 + 0.1 * noise
    if leaf == "dt_projs_bias":  # softplus(bias) spread over [1e-3, 1e-1]
        u = rng.random(shape).astype(np.float32)
        dt = np.exp(u * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
        return (dt + np.log(-np.expm1(-dt))).astype(np.float32)
    if leaf == "dt_projs_weight":  # (4, d_inner, dt_rank)
        return noise / np.float32(math.sqrt(shape[2]))
    if leaf == "x_proj_weight":  # (4, dt_rank + 2 N, d_inner)
        return noise / np.float32(math.sqrt(shape[2]))
    if leaf == "bias":
        return 0.05 * noise
    if len(shape) == 1:
        is_norm = any(part in name for part in (".norm.", ".ln_1.", ".ln_2.", ".out_norm."))
        return (1.0 if is_norm else 0.25) + (0.1 if is_norm else 0.05) * noise
    if "lastconv" in name or name.startswith("unet.up"):  # transposed: (in, out, 4, 4), stride 2
        fan_in = shape[0] * shape[2] * shape[3] // 4
    else:
        fan_in = math.prod(shape[1:])
    gain = (
        0.5 if name.endswith(("conv.2.0.weight", "unet.conv.weight")) or "lastconv" in name else 1.3
    )
    return noise * np.float32(gain / math.sqrt(fan_in))


def golden_state_dict(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """State dict as float32 arrays; `shapes` maps every published parameter name to its shape."""
    return {name: golden_tensor(name, tuple(shape), seed) for name, shape in shapes.items()}
