"""Video frame interpolation with VFIMamba.

The names below load torch and PyAV when they are first used, not before, so that the command's
`--help` is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfimamba_cli.checkpoint.load import load_model
    from vfimamba_cli.engine.interpolator import Interpolator
    from vfimamba_cli.errors import VfimambaError
    from vfimamba_cli.pipeline import interpolate_video
    from vfimamba_cli.pipeline.options import EngineOptions, PictureOptions, TimeOptions
    from vfimamba_cli.video.options import WriteOptions

__all__ = [
    "EngineOptions",
    "Interpolator",
    "PictureOptions",
    "TimeOptions",
    "VfimambaError",
    "WriteOptions",
    "interpolate_video",
    "load_model",
]

_HOMES = {
    "EngineOptions": "vfimamba_cli.pipeline.options",
    "Interpolator": "vfimamba_cli.engine.interpolator",
    "PictureOptions": "vfimamba_cli.pipeline.options",
    "TimeOptions": "vfimamba_cli.pipeline.options",
    "VfimambaError": "vfimamba_cli.errors",
    "WriteOptions": "vfimamba_cli.video.options",
    "interpolate_video": "vfimamba_cli.pipeline",
    "load_model": "vfimamba_cli.checkpoint.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
