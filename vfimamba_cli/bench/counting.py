"""Multiply-adds and memory of a pass, counted on tensors without values ("meta" tensors).

B batch, K scan orders, D channels, N states, L tokens, H heads, E channels of a head.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vfimamba_cli.model.mixers import SS2D
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.ops.scan import Backend, Scan

SCAN_MACS = 4
"""Per channel, token and state: decay, step times input, state, output."""


class LiveMemory(TorchDispatchMode):
    """Follows the bytes of all tensors made in its block that are still alive.

    Every operation stores its result, as eager PyTorch does; views and in-place results cost
    nothing. What an operation takes for itself while it runs is not known and not counted.

    Attributes:
        live: bytes alive now.
        peak: the most there were at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        """Run `func` and follow what it made."""
        known = {_address(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and _address(tensor) not in known | self.sizes.keys():
                self._follow(tensor)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage, address = tensor.untyped_storage(), _address(tensor)
        self.sizes[address] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, address)

    def _forget(self, address: int) -> None:
        self.live -= self.sizes.pop(address)


class Count:
    """Of one pass.

    Attributes:
        macs: multiply-adds of convolutions and matrix products.
        mixing_macs: of the scans, or of the attention.
        peak: most bytes alive at once, scans and attention each one operation.
        stored_peak: the same where they store what they compute on the way: the states of all
            tokens, or the scores of all pairs.
    """

    def __init__(self) -> None:
        self.macs = self.mixing_macs = self.peak = self.stored_peak = 0
        self.memory = LiveMemory()

    def run(self, network: VFIMamba, work: Callable[[], object]) -> None:
        """Count what `work` asks of `network`, which lies on the meta device."""
        network.use_scan(CountedScan(count=self))
        for module in network.modules():
            if isinstance(module, SS2D):
                module.mix = module.scan  # type: ignore[method-assign] # meta has no autocast
        flops = FlopCounterMode(display=False)
        with torch.inference_mode(), flops, self.memory, CountedAttention(self):
            work()
        self.macs = flops.get_total_flops() // 2
        self.peak = self.memory.peak
        self.stored_peak = max(self.stored_peak, self.peak)

    def mixing(self, macs: int, stored_bytes: int) -> None:
        """Note a scan or an attention, when its result has been made."""
        self.mixing_macs += macs
        self.stored_peak = max(self.stored_peak, self.memory.live + stored_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedScan(Backend):
    """A scan that only counts: its inputs in, fp32 outputs out."""

    name: str = "counted"
    count: Count

    def load(self) -> Scan:
        """The scan's shape and cost, without its values."""

        def selective_scan(*inputs: Tensor) -> Tensor:
            u, _, A, *_ = inputs
            y = torch.empty_like(u, dtype=torch.float32)
            states = u.numel() * A.shape[-1]
            self.count.mixing(SCAN_MACS * states, states * y.itemsize)
            return y

        return selective_scan


class CountedAttention(TorchFunctionMode):
    """Attention as one operation: queries, keys and values in, (B, H, L, E) out."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        """Run `func`, unless it is attention."""
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        queries, keys, _ = args
        out = torch.empty_like(queries)
        scores = queries.numel() // queries.shape[-1] * keys.shape[-2]
        self.count.mixing(2 * scores * queries.shape[-1], scores * out.itemsize)
        return out


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
