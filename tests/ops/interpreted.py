"""Triton's kernels, by its interpreter where there is no GPU."""

import importlib
import importlib.util
from contextlib import contextmanager

import numpy as np
import pytest
import torch

ON_GPU = torch.cuda.is_available()

# Triton's interpreter keeps scalars in arrays; NumPy 2.4 no longer converts them back.
quiet = pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")


@contextmanager
def kernels_of(what):
    """Imports a module by its name within `vfimamba_cli.ops`; skips where that cannot be."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip(f"Triton is not installed: {what} NOT tested here")
    if not ON_GPU and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip(f"Triton's interpreter needs NumPy < 2.4: {what} NOT tested here")
    with pytest.MonkeyPatch.context() as patch:
        if not ON_GPU:
            patch.setenv("TRITON_INTERPRET", "1")
        yield lambda name: importlib.import_module(f"vfimamba_cli.ops.{name}")
