"""A path recorded as CUDA graphs: for frames of one size, all its kernels start at once.

A frame takes some 300 kernels, more in tiles, and but for large ones made at once the host is
slower in launching them than the GPU in running them.

F = 2 frames, B batch, C channels (3, or 4 with alpha), H x W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vfimamba_cli.engine.paths import PathOptions, encode_pair, picture, predict_once
from vfimamba_cli.model.interface import InterpolationModel

WARM_UP = 2
MODE = "thread_local"
"""Other threads may free pinned memory meanwhile."""

TOLERANCE = 2 / 255
"""Most that a replayed picture may differ from the same made without a graph."""


class Graphs:
    """The recordings of one model; those of the latest size and path are kept.

    Attributes:
        announce: called with a line when a recording cannot be trusted and is not used.
    """

    def __init__(self, model: InterpolationModel, announce: Callable[[str], None]) -> None:
        self.model = model
        self.announce = announce
        self._key: object = None
        self._recording: Recording | None = None

    def held(self, shape: Sequence[int], options: PathOptions) -> "Recording | None":
        """What is recorded for frames of this shape, whatever tiles they are made in, if any."""
        kept = self._recording
        if kept is None or tuple(kept.frames.shape) != tuple(shape):
            return None
        return kept if replace(kept.options, tile=options.tile) == options else None

    def forget(self) -> None:
        """Free what is recorded."""
        self._key, self._recording = None, None

    def predict_once(
        self, frames: Tensor, times: Sequence[float], options: PathOptions
    ) -> Iterator[Tensor]:
        """As `paths.predict_once` gives them; keeps the `frames` of a recording's first pair.

        Args:
            frames: (F, B, C, H, W) fp32, H and W multiples of what the model and path ask for.
            times: in (0, 1).
            options: the path's.

        Yields:
            One (B, C, H, W) fp32 per time.

        Raises:
            RuntimeError: another pair was begun before all pictures of this one were made.
        """
        key = (tuple(frames.shape), options)
        if self._key != key:
            self.forget()
            recording = Recording(self.model, frames, options)
            if (error := recording.check()) <= TOLERANCE:
                self._recording = recording
            else:
                self.announce(f"CUDA graph: off by {error:.1e}, so frames are made without it")
            self._key = key
        if self._recording is None:
            yield from predict_once(self.model, frames, times, options)
            return
        yield from self._recording.replay(frames, times)


class Recording:
    """One graph for what a pair shares, one for each picture; they share their memory.

    Attributes:
        frames: the pair that is read, (F, B, C, H, W), to be written to.
        options: the path's.
    """

    def __init__(self, model: InterpolationModel, frames: Tensor, options: PathOptions) -> None:
        self.frames, self.options = frames, options
        self.turn = 0
        self.time = torch.full((frames.shape[1],), 0.5, device=frames.device)
        side = torch.cuda.Stream(frames.device)
        side.wait_stream(torch.cuda.current_stream(frames.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):  # kernels are compiled and chosen here
                encoded = encode_pair(model, self.frames, options)
                expected = picture(model, encoded, self.time, options)
                del encoded
        torch.cuda.current_stream(frames.device).wait_stream(side)
        self.expected = expected.cpu()  # the device may have no room to spare
        del expected
        torch.cuda.empty_cache()  # the recording takes memory of its own
        self.shared, self.each = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        # On a stream of this device: PyTorch's own is of the one that was recorded on first.
        with torch.cuda.graph(self.shared, stream=side, capture_error_mode=MODE):
            encoded = encode_pair(model, self.frames, options)
        pool = self.shared.pool()
        with torch.cuda.graph(self.each, pool, stream=side, capture_error_mode=MODE):
            self.picture = picture(model, encoded, self.time, options)

    def check(self) -> float:
        """Largest difference between the recording's picture and the same made without it."""
        (made,) = self.replay(self.frames, [0.5])
        error = (made.cpu() - self.expected).abs().max().item()
        del self.expected
        return error

    def replay(self, frames: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
        """The pictures at `times`, each in memory of its own; one pair after the other."""
        if frames is not self.frames:
            self.frames.copy_(frames)
        self.turn += 1
        turn = self.turn
        self.shared.replay()
        for time in times:
            if self.turn != turn:
                raise RuntimeError("another pair was begun before all pictures of this one were")
            self.time.fill_(time)
            self.each.replay()
            yield self.picture.clone()
