"""How good the network has become, on clips that it is not trained on."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.footage import panning, texture, write_clip
from tests.train.blend import Blend
from tests.train.runs import CPU, entries_of, trainer_in
from vfimamba_cli.errors import InputError
from vfimamba_cli.metrics import ssim_matlab
from vfimamba_cli.train.precision import choose_precision
from vfimamba_cli.train.validation import load_validation, prepare, validate


def test_validation_measures_the_average_of_two_frames_right(tmp_path):
    clips = torch.randint(256, (3, 9, 3, 32, 32), dtype=torch.uint8)
    network = Blend()
    nn.init.zeros_(network.conv.weight)
    nn.init.zeros_(network.conv.bias)
    trainer = trainer_in(tmp_path, network=network, validation=prepare(list(clips)))
    trainer.validate()
    (entry,) = entries_of(tmp_path, "validation")
    middle = (clips[:, 0].double() + clips[:, 8].double()) / 2
    error = (middle.float().round() - clips[:, 4]).square().mean((1, 2, 3))
    expected = (10 * torch.log10(255**2 / error)).mean().item()
    assert entry["middle_psnr_db"] == pytest.approx(expected, abs=0.02)
    similarity = ssim_matlab(middle / 255, clips[:, 4] / 255)
    assert entry["middle_ssim"] == pytest.approx(similarity.mean().item(), abs=1e-4)


def test_validation_is_told_apart_by_how_much_moves():
    wide = texture(np.random.default_rng(0), 96, 500, cell=40)
    clips = [
        torch.from_numpy(np.stack([wide[:, step * i : step * i + 128] for i in range(9)])).permute(
            0, 3, 1, 2
        )
        for step in (1, 30)
    ]  # 2 and 8, 60 and 240 pixels between the two frames
    found = validate(Blend(), prepare(clips), choose_precision(CPU))
    bands = {name.split("_")[0] for name in found.means} - {"middle", "step"}
    assert {"small", "large"} <= bands
    assert found.means["small_psnr_db"] > found.means["large_psnr_db"]


def test_progress_can_be_measured_on_any_videos(tmp_path):
    rng = np.random.default_rng(0)
    write_clip(tmp_path / "long.mkv", panning(rng, frames=12))
    write_clip(tmp_path / "wide.mkv", panning(rng, frames=9, width=88))
    write_clip(tmp_path / "short.mkv", panning(rng, frames=5))
    found = load_validation(tmp_path)
    assert [tuple(group.shape) for group in found.groups] == [
        (1, 9, 3, 48, 64), (1, 9, 3, 48, 80),
    ]  # fmt: skip
    with pytest.raises(InputError, match="No video of 9 frames or more"):
        (tmp_path / "long.mkv").unlink()
        (tmp_path / "wide.mkv").unlink()
        load_validation(tmp_path)
