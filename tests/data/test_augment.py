import itertools

import numpy as np
import pytest
import torch

from vfimamba_cli.data.augment import Augmentation


def only(*switches, gain=1.0, gamma=1.0):
    return Augmentation(np.array([switches], np.float32), np.array([[gain, gamma]], np.float32))


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ((0, 0, 0, 0), lambda x: x),
        ((1, 0, 0, 0), lambda x: x.transpose(-1, -2)),
        ((0, 1, 0, 0), lambda x: x.flip(-1)),
        ((0, 0, 1, 0), lambda x: x.flip(-2)),
        ((0, 0, 0, 1), lambda x: x[:, :, [2, 1, 0]]),
        ((1, 1, 0, 0), lambda x: x.rot90(-1, (-2, -1))),
    ],
)
def test_every_switch_does_what_it_says_to_all_three_pictures(switches, expected):
    pictures = torch.rand(1, 3, 3, 8, 8)
    torch.testing.assert_close(
        only(*switches).apply(pictures), expected(pictures), rtol=0, atol=2e-4
    )


@pytest.mark.parametrize("switches", list(itertools.product((0, 1), repeat=4)), ids=str)
def test_switches_act_one_after_another(switches):
    pictures = torch.rand(1, 3, 3, 8, 8)
    expected = pictures.mT if switches[0] else pictures
    for axis, switch in zip((-1, -2, -3), switches[1:], strict=True):
        expected = expected.flip(axis) if switch else expected
    torch.testing.assert_close(only(*switches).apply(pictures), expected, rtol=0, atol=2e-4)


def test_exposure_is_the_same_for_the_three_pictures():
    picture = torch.rand(1, 1, 3, 8, 8)
    changed = only(0, 0, 0, 0, gain=0.9, gamma=1.2).apply(picture.expand(-1, 3, -1, -1, -1))
    torch.testing.assert_close(changed[:, 0], changed[:, 1])
    torch.testing.assert_close(changed[0, 0], 0.9 * picture[0, 0] ** 1.2, rtol=0, atol=2e-4)


def test_samples_are_changed_independently():
    drawn = Augmentation.draw([np.random.default_rng(i) for i in range(200)])
    assert len(np.unique(drawn.switches, axis=0)) == 16
    pictures = torch.rand(1, 3, 3, 8, 8).expand(200, -1, -1, -1, -1)
    changed = drawn.apply(pictures)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed[0], changed[1])
