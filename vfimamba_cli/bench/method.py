"""What is measured: our models, any function, frames made elsewhere, the average.

T timesteps, H x W pixels.
"""

import importlib
import os
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.bench.protocol import Pair, Protocol
from vfimamba_cli.checkpoint.load import HIDDEN, find_weights, load_model
from vfimamba_cli.checkpoint.store import sha256
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.errors import InputError, OptionError, VfimambaError
from vfimamba_cli.video.still import read_still

LARGE_WIDTH = 32
"""From this width on a network is the large one of the protocols."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a method is asked.

    Attributes:
        protocol: that it is asked for.
        clip: name of the clip.
        pair: which frames of it are given, and which are asked for.
        first, second: the given ones, (1, 3, H, W) R'G'B' in [0, 1], on the device.
    """

    protocol: Protocol
    clip: str
    pair: Pair
    first: Tensor
    second: Tensor

    def __str__(self) -> str:
        return f"{self.clip}, {self.protocol.name}"


class MethodError(VfimambaError):
    """A method that does not give what it was asked for."""


class Method(typing.Protocol):
    """Makes frames.

    Attributes:
        name: of its row in the table.
        facts: what was chosen for it, for the table and for programs.
    """

    name: str
    facts: dict[str, str]

    def make(self, question: Question) -> Tensor:
        """The frames asked for.

        Returns:
            (T, 1, 3, H, W), on any device; the caller checks it.

        Raises:
            VfimambaError: they cannot be had.
        """
        ...


class Average:
    """The mean of the two frames, whatever the time: what any method must beat."""

    name = "average"
    facts: dict[str, str] = {}  # noqa: RUF012  the same for all

    def make(self, question: Question) -> Tensor:
        """See `Method`."""
        mean = (question.first + question.second) / 2
        return mean.expand(len(question.pair.targets), *mean.shape)


class Model:
    """A network by its name, path or Hub ID, in the engine as the protocol sets it.

    Args:
        name: name, path or ID.
        device, dtype: as `Interpolator` takes them.
        first: the protocol that its engine is prepared for at once.

    Raises:
        CheckpointError, DeviceError: it cannot be had, or cannot run here.
    """

    def __init__(
        self, name: str, *, device: torch.device, dtype: torch.dtype | None, first: Protocol
    ) -> None:
        self.name = name
        self.network = load_model(name)
        self.device, self.dtype = device, dtype
        self.engines: dict[tuple[Any, ...], Interpolator] = {}
        engine = self.engine(first)
        self.facts = {
            "device": str(engine.device),
            "dtype": str(engine.dtype).removeprefix("torch."),
            "scan": engine.backend.name,
            "settings of": "the large network" if self.is_large else "the small network",
            "weights": "random" if name in HIDDEN else sha256(find_weights(name)),
        }

    @property
    def is_large(self) -> bool:
        """Whether the protocols' settings for the large network apply."""
        return bool(self.network.config.width >= LARGE_WIDTH)

    def engine(self, protocol: Protocol) -> Interpolator:
        """The engine for this protocol; one for all that set it alike."""
        key = (
            protocol.flow_scale,
            protocol.refine_at,
            protocol.local_large if self.is_large else protocol.local,
            protocol.tta_large and self.is_large,
            protocol.schedule,
        )
        if key not in self.engines:
            self.engines[key] = Interpolator(
                self.network,
                device=self.device,
                dtype=self.dtype,
                flow_scale=key[0],
                refine_at=key[1],
                local=key[2],
                tta=key[3],
                schedule=key[4],
            )
        return self.engines[key]

    def make(self, question: Question) -> Tensor:
        """See `Method`."""
        engine = self.engine(question.protocol)
        return engine.interpolate(question.first, question.second, question.pair.times)


class Function:
    """`package.module:function` of anybody's, called as `function(first, second, times)`.

    It gets both frames as (1, 3, H, W) R'G'B' in [0, 1] on the device, copies that it may write
    to, and the times as floats in (0, 1), and returns (T, 1, 3, H, W). Modules are found as in
    Python itself, the current folder first; the file of this one is part of what was measured.

    Raises:
        OptionError: there is no such function.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.function = find_function(name)
        source = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
        self.facts = {"source": sha256(Path(source))} if source else {}

    def make(self, question: Question) -> Tensor:
        """See `Method`."""
        times = [float(t) for t in question.pair.times]
        try:
            return self.function(question.first.clone(), question.second.clone(), times)
        except SystemExit as error:
            raise MethodError(
                f"{self.name} ended the program (exit code {error.code}): {question}",
                hint="Where it cannot make the frames, it should raise an exception that says why",
            ) from error
        except Exception as error:
            error.add_note(f"while {self.name} made {question.clip} for {question.protocol.name}")
            raise


class Frames:
    """Frames made elsewhere: `FOLDER/PROTOCOL/CLIP/NUMBER.png`.

    NUMBER is that of the frame asked for in the clip, as `4.png`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = Path(name)
        self.facts = {"frames": str(self.folder.absolute())}

    def make(self, question: Question) -> Tensor:
        """See `Method`."""
        return torch.stack([self.read(question, number) for number in question.pair.targets])

    def read(self, question: Question, number: int) -> Tensor:
        """(1, 3, H, W) in [0, 1].

        Raises:
            InputError: it is not there, or not a picture.
        """
        protocol, clip = question.protocol.name, question.clip
        path = self.folder / protocol / clip / f"{number}.png"
        if not path.is_file():
            raise InputError(
                f"No frame {number} of {clip} for {protocol}: {path}",
                hint="Expected FOLDER/PROTOCOL/CLIP/NUMBER.png for every frame asked for",
            )
        return torch.from_numpy(read_still(path)).permute(2, 0, 1)[None] / 255


Make = Callable[[Tensor, Tensor, Sequence[float | Fraction]], Tensor]


def find_function(name: str) -> Make:
    """The function that `package.module:function` names.

    Raises:
        OptionError: there is none.
    """
    module_name, _, function_name = name.partition(":")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  sys.path holds strings
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        own = error.name is not None and f"{module_name}.".startswith(f"{error.name}.")
        raise OptionError(
            f"Cannot import {error.name}: --method {name}",
            hint="Give package.module:function; the current folder is searched first"
            if own
            else f"{module_name} needs it: install it beside this program",
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise OptionError(f"No function {function_name!r} in {module.__file__}: --method {name}")
    return function  # type: ignore[no-any-return]


def find_method(name: str) -> Method:
    """What `--method NAME` means.

    Raises:
        OptionError: nothing.
    """
    if name == Average.name:
        return Average()
    if name and Path(name).is_dir():
        return Frames(name)
    module, colon, function = name.partition(":")
    if colon and function.isidentifier() and all(map(str.isidentifier, module.split("."))):
        return Function(name)
    raise OptionError(
        f"Not a method: {name}",
        hint="Give average, package.module:function, or a folder of frames that exists; models of "
        "this program are named with --model",
    )
