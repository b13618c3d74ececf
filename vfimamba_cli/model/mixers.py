"""What carries information between the two frames inside a block: the S6 scan or its ablations.

F = 2 frames, B batch, C channels, D = 2 C inner channels, H x W tokens, L = 2 H W,
K = 4 scan orders, N states, R rank of the step projection.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vfimamba_cli.model.config import ModelConfig
from vfimamba_cli.ops.cross_scan import SCAN_ORDERS, cross_merge, cross_scan
from vfimamba_cli.ops.scan import Backend, choose_backend, selective_scan

HEAD_CHANNELS = 32
WINDOW = 8


class GatedMixer(nn.Module):
    """Projection, depthwise convolution, `mix` across the frames, norm, gate, projection.

    What happens between the frames is the subclass's `mix`; all else is the same for all, so
    that the paper's ablation compares only that.

    Source: VMamba (arXiv 2401.10166), SS2D, without its x_proj and scan.
    """

    def __init__(self, channels: int, *, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.inner = 2 * channels
        self.in_proj = nn.Linear(channels, 2 * self.inner, bias=False)
        self.conv2d = nn.Conv2d(self.inner, self.inner, 3, padding=1, groups=self.inner)
        self.out_norm = norm(self.inner)
        self.out_proj = nn.Linear(self.inner, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(F, B, H, W, C) -> (F, B, H, W, C)."""
        # One product for each half: no copy to cut them apart, none to join their gradients.
        u, gate = (F.linear(x, half) for half in self.in_proj.weight.chunk(2))
        u = F.silu(self.conv2d(rearrange(u, "f b h w d -> (f b) d h w")))
        u = self.mix(rearrange(u, "(f b) d h w -> f b d h w", f=2))
        y = rearrange(u, "f b d h w -> f b h w d").to(gate.dtype)
        return self.out_proj(self.out_norm(y) * F.silu(gate))

    def mix(self, u: Tensor) -> Tensor:
        """(F, B, D, H, W) -> (F, B, D, H, W), across the frames."""
        raise NotImplementedError


class SS2D(GatedMixer):
    """The selective scan over both frames' tokens in four orders.

    Source: VFIMamba (arXiv 2407.02315), section 3.2.
    """

    def __init__(
        self, channels: int, config: ModelConfig, *, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__(channels, norm=norm)
        self.config = config
        self.use_scan(choose_backend("chunked", torch.device("cpu"), training=True))
        rank, state = math.ceil(channels / 16), config.state
        self.split = (rank, state, state)
        self.x_proj_weight = nn.Parameter(torch.empty(SCAN_ORDERS, sum(self.split), self.inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(SCAN_ORDERS, self.inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(SCAN_ORDERS, self.inner))
        self.A_logs = nn.Parameter(torch.empty(SCAN_ORDERS * self.inner, state))
        self.Ds = nn.Parameter(torch.ones(SCAN_ORDERS * self.inner))
        if not self.Ds.is_meta:  # see `VFIMamba`
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Mamba's initialisation: A = -(1..N), steps log-uniform in [1e-3, 1e-1]."""
        rank, state, _ = self.split
        nn.init.kaiming_uniform_(self.x_proj_weight.view(-1, self.inner), a=math.sqrt(5))
        nn.init.uniform_(self.dt_projs_weight, -(rank**-0.5), rank**-0.5)
        log_step = torch.empty_like(self.dt_projs_bias).uniform_(math.log(1e-3), math.log(1e-1))
        step = log_step.exp().clamp(min=1e-4)
        with torch.no_grad():
            self.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse softplus
            self.A_logs.copy_(torch.arange(1, state + 1).float().log().expand_as(self.A_logs))

    def use_scan(self, backend: Backend) -> None:
        """Scan on `backend`. Its kernels are imported here: compilers do not follow imports."""
        self.backend = backend
        on_maps = backend.grid and self.config.alternates
        self.scan_maps = backend.load_grid() if on_maps else None

    def mix(self, u: Tensor) -> Tensor:
        """(F, B, D, H, W) -> the same.

        The result is fp32, and under autocast all of it runs in fp32; or, where kernels do all of
        it, the result and the projections have the dtype of `u`, and only the scan runs in fp32.
        """
        if self.scan_maps is not None:
            return self.scan_grid(u, self.scan_maps)
        if torch.is_autocast_enabled(u.device.type):
            with torch.autocast(u.device.type, enabled=False):
                return self.scan(u.float())
        return self.scan(u)

    def scan_grid(self, u: Tensor, scan_maps: Callable[..., Tensor]) -> Tensor:
        """`scan`, in the dtype of `u`; channels stay last in memory."""
        u = rearrange(u, "f b d h w -> f b h w d").contiguous()
        projection = rearrange(self.x_proj_weight, "k r d -> (k r) d")
        y = scan_maps(
            u,
            F.linear(u, projection.to(u.dtype)),
            A=-torch.exp(rearrange(self.A_logs.float(), "(k d) n -> k d n", k=SCAN_ORDERS)),
            D=rearrange(self.Ds.float(), "(k d) -> k d", k=SCAN_ORDERS),
            dt_weight=self.dt_projs_weight,
            dt_bias=self.dt_projs_bias.float(),
            exact_columns=self.config.column_merge == "exact",
            dtype=u.dtype,
        )
        return rearrange(y, "f b h w d -> f b d h w")

    def scan(self, u: Tensor) -> Tensor:
        """(F, B, D, H, W) -> (F, B, D, H, W) in fp32."""
        order = {"rows": self.config.rows, "columns": self.config.columns}
        tokens = cross_scan(u, **order)  # (B, K, D, L)
        projected = torch.einsum("bkdl,krd->bkrl", tokens, self.x_proj_weight)
        dt, B, C = projected.split(self.split, dim=2)
        y = selective_scan(
            tokens,
            torch.einsum("bkrl,kdr->bkdl", dt, self.dt_projs_weight),
            A=-torch.exp(rearrange(self.A_logs.float(), "(k d) n -> k d n", k=SCAN_ORDERS)),
            B=B,
            C=C,
            D=rearrange(self.Ds.float(), "(k d) -> k d", k=SCAN_ORDERS),
            dt_bias=self.dt_projs_bias.float(),
            backend=self.backend,
        )
        height, width = u.shape[-2:]
        return cross_merge(y, height, width, exact=self.config.column_merge == "exact", **order)


class NoMixer(GatedMixer):
    """Each frame on its own."""

    def mix(self, u: Tensor) -> Tensor:
        """(F, B, D, H, W), unchanged."""
        return u


class ConvMixer(GatedMixer):
    """A 3x3 convolution over both frames' channels, group by group."""

    def __init__(self, channels: int, *, norm: Callable[[int], nn.Module]) -> None:
        super().__init__(channels, norm=norm)
        groups = self.inner // HEAD_CHANNELS
        self.between = nn.Conv2d(2 * self.inner, 2 * self.inner, 3, padding=1, groups=groups)

    def mix(self, u: Tensor) -> Tensor:
        """(F, B, D, H, W) -> (F, B, D, H, W)."""
        together = self.between(rearrange(u, "f b d h w -> b (d f) h w"))
        return rearrange(together, "b (d f) h w -> f b d h w", f=2)


class AttentionMixer(GatedMixer):
    """Multi-head attention over both frames' tokens, of the whole map or of each window.

    Source: Swin (arXiv 2103.14030) for the windows, without shifts.
    """

    def __init__(
        self, channels: int, *, window: int | None, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__(channels, norm=norm)
        self.window = window
        self.heads = self.inner // HEAD_CHANNELS
        self.qkv = nn.Linear(self.inner, 3 * self.inner)

    def mix(self, u: Tensor) -> Tensor:
        """(F, B, D, H, W) -> (F, B, D, H, W)."""
        height, width = u.shape[-2:]
        if self.window is None:
            tokens = rearrange(u, "f b d h w -> b (f h w) d")
            mixed = self.attend(tokens, None)
            return rearrange(mixed, "b (f h w) d -> f b d h w", f=2, h=height)
        right, bottom = -width % self.window, -height % self.window
        inside = F.pad(u.new_ones(1, 1, height, width), (0, right, 0, bottom))
        u = F.pad(u, (0, right, 0, bottom))
        size = {"y": self.window, "x": self.window}
        to_windows = "f b d (h y) (w x) -> (b h w) (f y x) d"
        valid = rearrange(inside.expand(2, u.shape[1], 1, -1, -1), to_windows, **size)
        mixed = self.attend(rearrange(u, to_windows, **size), valid[:, None, None, :, 0] > 0)
        rows = u.shape[-2] // self.window
        back = rearrange(
            mixed, "(b h w) (f y x) d -> f b d (h y) (w x)", f=2, h=rows, b=u.shape[1], **size
        )
        return back[..., :height, :width]

    def attend(self, tokens: Tensor, valid: Tensor | None) -> Tensor:
        """(B, L, D) -> (B, L, D); `valid` (B, 1, 1, L) is false at keys that are padding."""
        q, k, v = rearrange(self.qkv(tokens), "b l (s h e) -> s b h l e", s=3, h=self.heads)
        return rearrange(
            F.scaled_dot_product_attention(q, k, v, attn_mask=valid), "b h l e -> b l (h e)"
        )


def build_mixer(
    channels: int, config: ModelConfig, *, norm: Callable[[int], nn.Module]
) -> GatedMixer:
    """The mixer that `config` names, for blocks of `channels` channels."""
    match config.mixer:
        case "s6":
            return SS2D(channels, config, norm=norm)
        case "none":
            return NoMixer(channels, norm=norm)
        case "conv":
            return ConvMixer(channels, norm=norm)
        case "local_attention":
            return AttentionMixer(channels, window=WINDOW, norm=norm)
        case "full_attention":
            return AttentionMixer(channels, window=None, norm=norm)
