"""Small made-up datasets in the layouts of the published ones."""

import numpy as np

from vfimamba_cli.video.still import encode_png


def moving_picture(number, height, width, *, scene=0, speed=1.5):
    """(H, W, 3) uint8: waves that travel `speed` pixels a frame, each channel another way."""
    y, x, c = np.ogrid[:height, :width, :3]
    at = number * speed
    wave = np.sin(0.21 * (x - at) + 0.13 * y + scene + c) + np.cos(0.17 * (y + at) - 0.05 * x * c)
    return (127.5 + 60 * wave).round().clip(0, 255).astype(np.uint8)


def write_frames(paths, *, size, scene=0, speed=1.5):
    """One picture a path, in their order."""
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = moving_picture(number, *size, scene=scene, speed=speed)
        path.write_bytes(encode_png(picture))


def write_xtest(folder, *, size, clips=1):
    for clip in range(clips):
        place = folder / f"test/Type{clip % 3 + 1}/TEST{clip + 1:02}_003_f0433"
        write_frames([place / f"{i:04}.png" for i in range(33)], size=size, scene=clip, speed=0.5)


def write_vimeo90k(folder, *, size, clips=2):
    names = [f"{clip + 1:05}/0266" for clip in range(clips)]
    for scene, name in enumerate(names):
        place = folder / "sequences" / name
        write_frames([place / f"im{i}.png" for i in (1, 2, 3)], size=size, scene=scene)
    (folder / "tri_testlist.txt").write_text("\n".join(names) + "\n")


def write_ucf101(folder, *, size, clips=2):
    for clip in range(clips):
        names = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
        write_frames([folder / str(clip + 1) / name for name in names], size=size, scene=clip)


def write_snu_film(folder, *, size, clips=2):
    lines = []
    for clip in range(clips):
        place = f"test/GOPRO_test/GOPR0384_11_0{clip}"
        files = [f"{place}/{i:06}.png" for i in range(1, 4)]
        write_frames([folder / file for file in files], size=size, scene=clip)
        lines.append(" ".join(f"data/SNU-FILM/{file}" for file in files))
    for level in ("easy", "medium", "hard", "extreme"):
        (folder / f"test-{level}.txt").write_text("\n".join(lines) + "\n")


def write_xiph(folder, *, size, clips=2):
    numbers = range(1, 2 * clips + 2)
    write_frames([folder / f"BoxingPractice-{i:03}.png" for i in numbers], size=size)
