from dataclasses import replace

import numpy as np
import torch

from vfimamba_cli.bench.geometry import arrange
from vfimamba_cli.bench.motion import band_of, motion_percent
from vfimamba_cli.bench.protocol import PROTOCOLS

Y, X, C = np.ogrid[:4, :6, :3]
PICTURE = ((37 * X + 91 * Y + 59 * C) ** 2 // 7 % 256).astype(np.uint8)

FLOAT = [
    [[97.5, 137.5, 148.5], [121.0, 64.5, 106.5], [109.0, 148.0, 93.5]],
    [[157.5, 129.5, 72.5], [125.0, 128.5, 102.5], [121.0, 92.0, 33.5]],
]
"""By OpenCV 5.0: cv2.resize(PICTURE.astype(float), (3, 2), interpolation=cv2.INTER_AREA)."""

BYTES = [
    [[98, 138, 149], [121, 65, 107], [109, 148, 94]],
    [[158, 130, 73], [125, 129, 103], [121, 92, 34]],
]
"""The same with PICTURE as it is, of 8 bits: halves are rounded up."""


def reduced(name):
    protocol = replace(PROTOCOLS[name], shrink_to=(2, 3))
    codes = 255 * arrange(torch.from_numpy(PICTURE), protocol, origin="here")
    return codes[0].permute(1, 2, 0).numpy()


def test_xtest_2k_is_opencvs_area_average_in_floating_point():
    np.testing.assert_allclose(reduced("xtest-2k") / 255, np.array(FLOAT) / 255, atol=1e-6)


def test_xiph_2k_is_opencvs_area_average_in_8_bits():
    np.testing.assert_allclose(reduced("xiph-2k") / 255, np.array(BYTES) / 255, atol=1e-6)


def shifted(pixels):
    """Blobs of noise, 96 x 192, and the same moved to the right."""
    noise = torch.nn.functional.avg_pool2d(torch.rand(1, 3, 96, 192), 7, 1, 3)[0]
    picture = (255 * noise).byte().permute(1, 2, 0).numpy()
    return picture, np.roll(picture, pixels, axis=1)


def test_motion_is_measured_in_percent_of_the_width():
    for pixels in (0, 4, 16):
        assert abs(motion_percent(*shifted(pixels)) - 100 * pixels / 192) < 0.6


def test_bands_are_told_by_their_bounds():
    assert [band_of(percent) for percent in (0, 0.9, 1, 2.9, 7.9, 8, 15)] == [
        "0-1 %",
        "0-1 %",
        "1-3 %",
        "1-3 %",
        "3-8 %",
        "over 8 %",
        "over 8 %",
    ]
