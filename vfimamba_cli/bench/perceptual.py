"""LPIPS, a distance of pictures by the features of a network, where its package is installed.

B batch, H x W pixels.
"""

import importlib
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from vfimamba_cli.errors import VfimambaError

WEIGHTS = "alexnet-owt-*.pth"
"""Of AlexNet, as torchvision keeps them; those of LPIPS itself come with its package."""


class LpipsMissingError(VfimambaError):
    """LPIPS cannot be measured here; the message says why."""


class Lpips:
    """The distance of AlexNet's features, as the package `lpips` measures it.

    Nothing is downloaded: the package would fetch AlexNet's weights, so they must be there.

    Attributes:
        facts: which version it is, for the table and for programs.

    Raises:
        LpipsMissingError: the package, torchvision, or the weights are missing.

    Source: Zhang et al., arXiv 1801.03924, version 0.1 of its weights.
    """

    def __init__(self, device: torch.device) -> None:
        package = find_package()
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        if not any(folder.glob(WEIGHTS)):
            raise LpipsMissingError(f"AlexNet's weights are missing: {folder / WEIGHTS}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it calls torchvision by a name of old
            network = package.LPIPS(net="alex", verbose=False)
        self.network = network.to(device).eval().requires_grad_(False)
        self.facts = f"alex, lpips {package_version()}"

    @torch.inference_mode()
    def __call__(self, picture: Tensor, truth: Tensor) -> Tensor:
        """The distance of each pair, 0 where they are equal.

        Args:
            picture, truth: (B, 3, H, W) R'G'B' in [0, 1].

        Returns:
            (B,) fp32.
        """
        distance: Tensor = self.network(2 * picture.float() - 1, 2 * truth.float() - 1)
        return distance.flatten()


def find_package() -> ModuleType:
    """The package `lpips`.

    Raises:
        LpipsMissingError: it, or a package that it needs, is not installed, or does not load.
    """
    try:
        return importlib.import_module("lpips")
    except (ImportError, OSError, RuntimeError) as error:  # as torchvision for another PyTorch does
        raise LpipsMissingError(f"{error}: `pip install lpips torchvision`") from error


def package_version() -> str:
    """As it was installed; unknown where it was not, but lies in a folder."""
    try:
        return version("lpips")
    except PackageNotFoundError:
        return "unknown"
