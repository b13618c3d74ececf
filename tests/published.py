"""Pickles as the authors publish them, of a small network."""

import io
import os
from collections import OrderedDict

import torch

from vfimamba_cli.checkpoint.official import INFIXES, PREFIXES
from vfimamba_cli.model.config import TINY
from vfimamba_cli.model.registry import ModelSpec

SPEC = ModelSpec(name="tiny-official", config=TINY, channel_order="bgr")


def published_name(name):
    """The inverse of the renaming, for one of our parameter names."""
    for theirs, ours in PREFIXES.items():
        if name.startswith(ours):
            name = theirs + name.removeprefix(ours)
            break
    for theirs, ours in INFIXES.items():
        name = name.replace(ours, theirs)
    return name


def published_weights():
    """Published names and shapes of the TINY network, each tensor one value repeated.

    A repeated value is stored once, so the pickle is of some kilobytes and not 57 MB.
    """
    with torch.device("meta"):
        own = SPEC.build().state_dict()
    weights = OrderedDict()
    for i, (name, tensor) in enumerate(own.items()):
        weights[f"module.{published_name(name)}"] = torch.tensor(i / 1024).expand(tensor.shape)
    weights["module.feature_bone.block3.blocks.0.attn_mask"] = torch.zeros(4)
    weights["module.feature_bone.block3.HW"] = torch.zeros(2)
    return weights


def as_pickle(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class MakesFolder:
    """Unpickled by an unrestricted unpickler, this makes the folder `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
