"""Reading golden tensors and building the networks they were made with."""

import json
from pathlib import Path

import numpy as np
import torch

from tests.golden.weights import golden_state_dict
from vfimamba_cli.checkpoint.official import our_names
from vfimamba_cli.model.config import VFIMAMBA, VFIMAMBA_S
from vfimamba_cli.model.registry import ModelSpec

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "golden"
CONFIGS = {"vfimamba_s": VFIMAMBA_S, "vfimamba": VFIMAMBA}


def golden_weights(name, folder):
    """The state dict under the published names, as tensors."""
    shapes = json.loads((folder / f"{name}.shapes.json").read_text())
    return {k: torch.from_numpy(np.asarray(v)) for k, v in golden_state_dict(shapes).items()}


def golden_network(name, folder):
    """The network of that name with the seeded weights."""
    network = ModelSpec(name=name, config=CONFIGS[name]).build().eval()
    network.load_state_dict(our_names(golden_weights(name, folder), origin=name))
    return network


def golden_arrays(name, folder):
    """The stored inputs and outputs, as tensors."""
    with np.load(folder / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}
