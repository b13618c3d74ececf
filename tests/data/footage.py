"""Small clips made on the spot: smooth random textures that move."""

import av
import numpy as np


def texture(rng, height, width, *, cell=6):
    """A smooth random picture, (height, width, 3) uint8; features are about `cell` pixels wide."""
    coarse = rng.integers(0, 256, (height // cell + 3, width // cell + 3, 3)).astype(float)
    y, x = np.arange(height) / cell, np.arange(width) / cell
    top, left = y.astype(int), x.astype(int)
    dy, dx = (y - top)[:, None, None], (x - left)[:, None]
    rows = coarse[top] * (1 - dy) + coarse[top + 1] * dy
    return (rows[:, left] * (1 - dx) + rows[:, left + 1] * dx).astype(np.uint8)


def panning(rng, *, frames, height=48, width=64, step=2):
    """(T, H, W, 3): the view moves right by `step` pixels a frame."""
    wide = texture(rng, height, width + step * (frames - 1))
    return np.stack([wide[:, step * i : step * i + width] for i in range(frames)])


def write_clip(path, pixels):
    """Write (T, H, W, 3) losslessly (FFV1 in Matroska)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "bgr0"
        for picture in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_photo(path, picture):
    """Write (H, W, 3) as PNG."""
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
