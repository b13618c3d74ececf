"""Tensors in, tensors out: frames between two frames, of any size, on any device.

B batch, C channels, T timesteps, H x W pixels.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor

from vfimamba_cli.engine.graphs import Graphs
from vfimamba_cli.engine.memory import Demand, TileChooser
from vfimamba_cli.engine.padding import Padding
from vfimamba_cli.engine.paths import PathOptions, RefineAt, predict
from vfimamba_cli.engine.precision import cast, default_dtype
from vfimamba_cli.engine.schedule import halve, reachable
from vfimamba_cli.ops.device import choose_device, is_out_of_memory, numbered
from vfimamba_cli.ops.scan import choose_backend

Schedule = Literal["auto", "direct", "halving"]


def auto_flow_scale(height: int, width: int) -> float:
    """Motion of larger frames is found at a smaller size, as published for 2K and 4K."""
    longest = max(height, width)
    if longest <= 1280:
        return 1.0
    return 0.5 if longest <= 2560 else 0.25


class Interpolator:
    """Makes the frames between two frames.

    Attributes:
        device, dtype, backend: what was chosen.
    """

    def __init__(
        self,
        model: Any,
        *,
        device: str | torch.device = "auto",
        dtype: torch.dtype | None = None,
        scan: str = "auto",
        flow_scale: float | Literal["auto"] = "auto",
        refine_at: RefineAt = "flow",
        local: bool = True,
        tta: bool = False,
        schedule: Schedule = "auto",
        tile: int = 0,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare a copy of `model` for inference; the one given is not changed.

        Args:
            model: a network with its `spec`, as `load_model` returns it.
            device: auto, cpu, cuda or cuda:N.
            dtype: of weights and activations; fp16 on CUDA and fp32 on the CPU if none.
            scan: auto, or the name of a backend, which is then never replaced.
            flow_scale: auto, 1, 0.5 or 0.25: size at which motion is found.
            refine_at: where the local blocks run, see `PathOptions`.
            local: whether they run.
            tta: average with the pair rotated by 180 degrees, at twice the time.
            schedule: `direct` asks the network for every time, `halving` only for middles;
                auto is direct where the weights were trained for it.
            tile: side of the tiles the picture is made in, in pixels; 0 makes it at once where the
                memory allows, and smaller where not. The result is the same.
            announce: called with a line when tiles are chosen, and when they change.

        Raises:
            DeviceError: when the device or the scan backend cannot run here.
        """
        self.device = numbered(choose_device(str(device)))
        self.dtype = dtype or default_dtype(self.device)
        fusable = model.has_fused_form and self.dtype in (torch.float16, torch.bfloat16)
        self.backend = choose_backend(
            scan, self.device, fused=fusable, sequences=not model.config.alternates
        )
        self.spec = model.spec
        if schedule == "auto":
            schedule = "direct" if self.spec.arbitrary_time else "halving"
        self.schedule: Schedule = schedule
        self.flow_scale = flow_scale
        self.options = PathOptions(refine_at=refine_at, local=local, tta=tta)
        self.tiles = TileChooser(self.device, forced=tile, announce=announce)
        network: Any = copy.deepcopy(model).eval().requires_grad_(False)
        network.use_scan(self.backend)
        network = cast(network.to(self.device), self.dtype)  # a GPU is the faster one to convert
        self.model: Any = network.to(memory_format=torch.channels_last)
        self.graphs: Graphs | None = None
        if self.backend.fused:
            self.model = network.fused()
            self.graphs = Graphs(self.model, announce)

    def options_for(self, height: int, width: int) -> PathOptions:
        """The path's options for frames of this size, in pixels."""
        scale = self.flow_scale
        if scale == "auto":
            scale = auto_flow_scale(height, width)
        return replace(self.options, flow_scale=scale)

    def reachable(self, times: Sequence[Fraction]) -> list[Fraction]:
        """`times` in [0, 1] as near as the schedule comes to them; some may become 0 or 1."""
        return list(times) if self.schedule == "direct" else reachable(times)

    @torch.inference_mode()
    def interpolate(
        self, first: Tensor, second: Tensor, timesteps: Sequence[Fraction | float]
    ) -> Tensor:
        """The frames at `timesteps` between `first` (t = 0) and `second` (t = 1).

        Args:
            first, second: (B, C, H, W) R'G'B' in [0, 1], any size, any device; C is 3, or 4 with
                alpha, which moves as the colors do. Values a little outside, as camera footage
                has them, are kept.
            timesteps: in (0, 1); for the halving schedule k / 2^n.

        Returns:
            (T, B, C, H, W) fp32 on the interpolator's device, in [0, 1] as far as the frames are.

        Raises:
            ValueError: on shapes or timesteps that cannot be.
            DeviceError: when the device's memory does not suffice.
        """
        return torch.stack(list(self.between(first, second, timesteps)))

    @torch.inference_mode()
    def between(
        self, first: Tensor, second: Tensor, timesteps: Sequence[Fraction | float]
    ) -> Iterator[Tensor]:
        """As `interpolate`, one (B, C, H, W) frame after the other, so that memory holds one."""
        times = [Fraction(t) for t in timesteps]
        check(first, second, times)
        height, width = first.shape[-2:]
        options = self.options_for(height, width)
        padding = Padding.to_multiple(
            height, width, round(self.model.multiple_of / options.flow_scale)
        )
        demand = Demand(
            height=height,
            width=width,
            whole=len(first) * self.model.whole_bytes_per_pixel,
            part=len(first) * self.model.part_bytes_per_pixel,
            halo=self.model.synthesis_halo,
        )
        while times:
            tile = self.tile_for(first.shape, padding, demand, options)
            try:
                frames = self.prepare(first, second, padding, options)
                for picture in self.pictures(frames, list(times), replace(options, tile=tile)):
                    yield self.finish(picture, padding)
                    del times[0]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.graphs is not None:
                    self.graphs.forget()  # else its tiles would be taken again
                self.tiles.shrink(tile, demand, error)

    def tile_for(
        self, shape: Sequence[int], padding: Padding, demand: Demand, options: PathOptions
    ) -> int | None:
        """Side of the tiles, None for all at once; as recorded where that is, with its memory."""
        held = None
        if self.graphs is not None:
            held = self.graphs.held((2, *shape[:2], *padding.padded(*shape[2:])), options)
        return self.tiles.choose(demand) if held is None else held.options.tile

    def pictures(
        self, frames: Tensor, times: list[Fraction], options: PathOptions
    ) -> Iterator[Tensor]:
        """The pictures at `times` between two padded frames (F, B, C, H, W), by the schedule."""
        if self.schedule == "direct":
            yield from self.predict(frames, [float(t) for t in times], options)
            return
        first, second = frames
        made = halve(first, second, times, lambda x, y: self.middle(x, y, options))
        yield from (made[t] for t in times)

    def middle(self, first: Tensor, second: Tensor, options: PathOptions) -> Tensor:
        """Half-way between two padded (B, C, H, W) frames in the network's channel order."""
        return next(self.predict(torch.stack((first, second)), [0.5], options))

    def predict(
        self, frames: Tensor, times: Sequence[float], options: PathOptions
    ) -> Iterator[Tensor]:
        """By recorded graphs where there are some."""
        once = None if self.graphs is None else self.graphs.predict_once
        return on_device(self.device, predict(self.model, frames, times, options, once))

    def prepare(
        self, first: Tensor, second: Tensor, padding: Padding, options: PathOptions
    ) -> Tensor:
        """Both on the device, in fp32, padded, in the network's channel order: (F, B, C, H, W)."""
        shape = (2, *first.shape[:2], *padding.padded(*first.shape[-2:]))
        frames = None
        if self.graphs is not None and self.schedule == "direct":
            # Halving asks for other pairs before it is done with this one, which they overwrite.
            held = self.graphs.held(shape, options)
            frames = None if held is None else held.frames
        if frames is None:
            frames = torch.empty(shape, device=self.device)
        for frame, out in zip((first, second), frames, strict=True):
            padding.add(self.reorder(frame), out)
        return frames

    def finish(self, picture: Tensor, padding: Padding) -> Tensor:
        """Undoes `prepare` on the result."""
        return self.reorder(padding.remove(picture))

    def reorder(self, picture: Tensor) -> Tensor:
        """From (B, C, H, W) R'G'B' to the network's channel order, or back; alpha stays last."""
        if self.spec.channel_order != "bgr":
            return picture
        return torch.cat((picture[:, :3].flip(1), picture[:, 3:]), dim=1)


def on_device(device: torch.device, made: Iterator[Tensor]) -> Iterator[Tensor]:
    """`made`, each while `device` is PyTorch's current one: Triton and CUDA graphs ask for it."""
    if device.type != "cuda":
        yield from made
        return
    while True:
        with torch.cuda.device(device):
            picture = next(made, None)
        if picture is None:
            return
        yield picture


def check(first: Tensor, second: Tensor, times: Sequence[Fraction]) -> None:
    """Raises ValueError on frames or times that `interpolate` cannot take."""
    if first.shape != second.shape:
        raise ValueError(f"both frames must be of one shape, got {first.shape}, {second.shape}")
    if first.dim() != 4 or first.shape[1] not in (3, 4) or 0 in first.shape:
        raise ValueError(f"frames must be (B, 3 or 4, H, W), got {tuple(first.shape)}")
    if not times:
        raise ValueError("timesteps must name at least one time")
    if outside := [t for t in times if not 0 < t < 1]:
        raise ValueError(f"timesteps must lie in (0, 1), got {outside[0]}")
