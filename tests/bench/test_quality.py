"""`vfimamba bench --dataset`: the command, on small made-up clips."""

import json
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.bench import layouts
from tests.bench.command import run
from vfimamba_cli.bench.method import Average
from vfimamba_cli.bench.protocol import DATASETS, PROTOCOLS, Pair
from vfimamba_cli.data.davis7 import FILE
from vfimamba_cli.video.still import encode_png

DATA = Path(__file__).resolve().parents[2] / "../shared/data/val"
DAVIS7 = ("davis7-middle", "davis7-next", "davis7-8x", "davis7-8x-halving")


def write_clips(folder, frames):
    """Lossless RGB clips under the expected name."""
    with av.open(str(folder / FILE), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="gbrp")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture
def brightening(tmp_path):
    """Two clips whose frame i has the value 10 i and 20 i: the average is exact at the middle."""
    values = np.concatenate([step * np.arange(9) for step in (10, 20)]).astype(np.uint8)
    frames = np.broadcast_to(values[:, None, None, None], (18, 32, 48, 3))
    write_clips(tmp_path, np.ascontiguousarray(frames))
    return tmp_path


def test_every_protocol_belongs_to_a_dataset_and_asks_for_frames_between_the_given_ones():
    assert sorted(PROTOCOLS) == sorted(name for names in DATASETS.values() for name in names)
    for protocol in PROTOCOLS.values():
        for pair in protocol.pairs:
            assert all(0 < t < 1 for t in pair.times)
    assert Pair(0, 8, (2, 6)).times == [Fraction(1, 4), Fraction(3, 4)]


def test_the_average_scores_what_the_published_baseline_says(tmp_path):
    if not (DATA / FILE).is_file():
        pytest.skip(f"no DAVIS-7 clips in {DATA}")
    file = tmp_path / "out.json"
    done = run("davis7-next", "--data", DATA, "--method", "average", "--json", file)
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(file.read_text())["summary"]
    assert row["clips"] == 355
    assert row["psnr"] == pytest.approx(22.18, abs=0.005)


def test_a_method_is_compared_with_the_frame_at_each_time(brightening, functions):
    file = brightening / "out.json"
    method = f"{functions}:linear"
    done = run("davis7", "--data", brightening, "--limit", 2, "--method", method, "--json", file)
    assert done.exit_code == 0, done.stderr
    found = json.loads(file.read_text())
    rows = {(row["protocol"], row["method"]): row for row in found["summary"]}
    assert list(found["protocols"]) == list(DAVIS7)
    for protocol in DAVIS7:
        assert rows[protocol, method]["psnr"] is None  # exact: infinite, which JSON does not have
        assert rows[protocol, method]["ssim"] == pytest.approx(1)
    errors = [step * abs(i - 4) for step in (10, 20) for i in (1, 2, 3, 5, 6, 7)]
    clip = next(
        clip
        for clip in found["clips"]
        if (clip["protocol"], clip["method"], clip["clip"]) == ("davis7-8x", "average", "001")
    )
    by_number = {i: 20 * math.log10(255 / (20 * abs(i - 4))) for i in (1, 2, 3, 5, 6, 7)}
    for number, expected in by_number.items():
        assert clip["psnr"][str(number)] == pytest.approx(expected, abs=1e-4)
    assert len(errors) == 12
    # the average stands still between jumps of 40 and 80 levels, where 10 and 20 would be right
    assert rows["davis7-8x", "average"]["difference_error"] == pytest.approx(
        np.mean([(2 * (4 * s - s) + 6 * s) / 8 for s in (10, 20)]), abs=1e-3
    )
    assert rows["davis7-8x", method]["difference_error"] == pytest.approx(0, abs=1e-3)


def test_the_table_has_a_row_per_method_a_column_per_protocol_and_published_numbers(triplets):
    done = run("ucf101", "--data", triplets, "--limit", 2, "--model", "tiny", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    title, head, average, tiny, published, *_ = done.stdout.splitlines()
    assert title == (
        "ucf101: PSNR in dB and SSIM over clips: 2, the first ones only: not to be compared; "
        "ucf101 on frames of 48x32, not 256x256 as published: not to be compared"
    )
    assert head.split() == ["method", "ucf101", "settings"]
    assert average.split()[0] == "average"
    assert tiny.split()[0] == "tiny"
    assert tiny.endswith("cpu float32 cpu")
    assert published.split() == ["VFIMamba", "35.45", "0.9702", "published"]


def test_the_document_names_everything_the_numbers_depend_on(triplets, tmp_path):
    file = tmp_path / "out.json"
    options = ("--model", "vfimamba-s", "--device", "cpu", "--limit", 1, "--json", file)
    done = run("ucf101", "--data", triplets, *options)
    assert done.exit_code == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["settings"]["seed"] == 0
    assert found["settings"]["data"] == str(triplets)
    assert found["settings"]["limit"] == 1
    assert found["machine"]["cpu"]
    assert set(found["machine"]["versions"]) >= {"torch", "python", "vfimamba", "av"}
    assert found["methods"]["vfimamba-s"]["dtype"] == "float32"
    assert found["methods"]["vfimamba-s"]["settings of"] == "the small network"
    assert len(found["methods"]["vfimamba-s"]["weights"]) == 64
    protocol = found["protocols"]["ucf101"]
    assert (protocol["local"], protocol["to_8bit"], protocol["flow_scale"]) == (False, True, 1.0)
    assert [clip["clip"] for clip in found["clips"]] == ["1", "1"]
    assert found["clips"][0].keys() >= {"psnr", "ssim", "motion"}
    assert not file.with_name("out.json.clips.jsonl").exists()


def test_frames_made_elsewhere_are_measured_like_any_others(triplets, tmp_path):
    frames = tmp_path / "frames"
    for clip in ("1", "2", "3"):
        place = frames / "ucf101" / clip
        place.mkdir(parents=True)
        (place / "1.png").write_bytes((triplets / clip / "frame_01_gt.png").read_bytes())
    file = tmp_path / "out.json"
    options = ("--data", triplets, "--limit", 3, "--method", frames)
    assert run("ucf101", *options, "--json", file).exit_code == 0
    rows = {row["method"]: row for row in json.loads(file.read_text())["summary"]}
    assert rows[str(frames)]["psnr"] is None
    assert rows["average"]["psnr"] < 60

    (frames / "ucf101/2/1.png").unlink()
    done = run("ucf101", *options)
    assert done.exit_code == 3
    assert f"No frame 1 of 2 for ucf101: {frames}/ucf101/2/1.png" in done.stderr


def test_a_folder_of_triplets_sequences_and_videos_is_measured_at_its_strides(tmp_path):
    layouts.write_frames([tmp_path / f"a/three/{i}.png" for i in range(3)], size=(32, 48))
    layouts.write_frames([tmp_path / f"many/{i:02}.png" for i in range(19)], size=(32, 48))
    write_clips(tmp_path, np.stack([layouts.moving_picture(i, 32, 48) for i in range(11)]))
    file = tmp_path / "out.json"
    done = run("folder", "--data", tmp_path, "--method", "average", "--json", file)
    assert done.exit_code == 0, done.stderr
    made = {
        (clip["protocol"], clip["clip"]): list(map(int, clip["psnr"]))
        for clip in json.loads(file.read_text())["clips"]
    }
    sequences = ("many/0", "many/8", f"{FILE}/0")
    expected = {("folder-triplets", "a/three"): [1]}
    for protocol, numbers in (
        ("folder-2x", [1, 3, 5, 7]),
        ("folder-4x", [1, 2, 3, 5, 6, 7]),
        ("folder-8x", [1, 2, 3, 4, 5, 6, 7]),
    ):
        expected |= {(protocol, clip): numbers for clip in sequences}
    assert made == expected


def test_the_bundled_sample_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.delenv("VFIMAMBA_DATA", raising=False)
    done = run("sample", "--method", "average")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("sample: PSNR in dB and SSIM over clips: 5\n")


def expected_layout(dataset, message, layout):
    return pytest.param(dataset, message, layout, id=dataset)


MISSING = [
    expected_layout("xtest", "No X-TEST clips", "DIR/test/Type1/TEST01_003_f0433/0000.png"),
    expected_layout("xtest-l", "No X-TEST clips", "github.com/JihyongOh/XVFI"),
    expected_layout("vimeo90k", "No Vimeo90K", "toflow.csail.mit.edu"),
    expected_layout("ucf101", "No UCF101 triplets", "DIR/1/frame_00.png, frame_01_gt.png"),
    expected_layout("snu-film", "No SNU-FILM", "DIR/test-easy.txt"),
    expected_layout("xiph", "No Xiph clips", "media.xiph.org/video/derf"),
    expected_layout("davis7", "No DAVIS-7 clips", "vidim-interpolation.github.io"),
    expected_layout("folder", "No clips", "a folder of three images"),
]


@pytest.mark.parametrize(("dataset", "message", "layout"), MISSING)
def test_without_data_the_error_says_where_to_get_it_and_how_it_must_lie(
    tmp_path, monkeypatch, dataset, message, layout
):
    monkeypatch.delenv("VFIMAMBA_DATA", raising=False)
    for arguments in ((), ("--data", tmp_path / "nowhere"), ("--data", tmp_path)):
        done = run(dataset, "--method", "average", *arguments)
        assert done.exit_code == 3
        assert layout in done.stderr
    assert f"error: {message}" in done.stderr


def test_vfimamba_data_names_the_folder_of_all_datasets(triplets, monkeypatch):
    monkeypatch.setenv("VFIMAMBA_DATA", str(triplets.parent))
    assert run("ucf101", "--method", "average", "--limit", 1).exit_code == 0


def test_a_set_that_is_not_whole_is_refused_as_its_mean_is_another(triplets):
    done = run("ucf101", "--data", triplets, "--method", "average")
    assert done.exit_code == 3
    assert "error: UCF101 has 379 clips, here are 3" in done.stderr
    (triplets / "2/frame_02.png").unlink()
    done = run("ucf101", "--data", triplets, "--method", "average", "--limit", 3)
    assert done.exit_code == 3
    assert (
        f"1 files of UCF101 are missing, the first of 2: {triplets}/2/frame_02.png" in done.stderr
    )


def test_verify_counts_the_files_and_names_those_that_are_missing(triplets, tmp_path):
    (triplets / "2/frame_02.png").unlink()
    done = run("ucf101", "--data", triplets, "--verify")
    assert done.exit_code == 3
    assert done.stdout.splitlines() == [
        "UCF101: 3 of 379 clips, 8 of 9 files",
        f"  missing: {triplets}/2/frame_02.png",
    ]
    assert "error: The dataset is not whole: ucf101" in done.stderr

    layouts.write_xtest(tmp_path, size=(16, 32), clips=15)
    done = run("xtest", "--data", tmp_path, "--verify")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "X-TEST: 15 of 15 clips, 495 of 495 files\n"
    for number in range(5, 33):
        (tmp_path / f"test/Type1/TEST01_003_f0433/{number:04}.png").unlink()
    done = run("xtest", "--data", tmp_path, "--verify")
    assert done.exit_code == 3
    first, *missing, rest = done.stdout.splitlines()
    assert first == "X-TEST: 15 of 15 clips, 467 of 495 files"
    assert missing[0].endswith("TEST01_003_f0433/0005.png")
    assert (len(missing), rest) == (20, "  and 8 more")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("flat", "returned (1, 3, 32, 48) where (1, 1, 3, 32, 48) was asked for: 1, ucf101"),
        ("hole", "made pixels that are not numbers: 1, ucf101"),
        ("bytes", "returned uint8 values: 1, ucf101"),
        ("listed", "returned list where (1, 1, 3, 32, 48) was asked for: 1, ucf101"),
        ("ended", "ended the program (exit code 0): 1, ucf101"),
    ],
)
def test_a_method_that_returns_something_else_is_named(triplets, functions, function, message):
    method = f"{functions}:{function}"
    done = run("ucf101", "--data", triplets, "--limit", 1, "--method", method)
    assert done.exit_code == 1
    assert f"error: {method} {message}" in done.stderr


def test_a_method_that_writes_to_its_frames_spoils_no_other(triplets, functions, tmp_path):
    psnr = {}
    for before in ("spoil", "linear"):
        file = tmp_path / f"{before}.json"
        methods = ("--method", f"{functions}:{before}", "--method", f"{functions}:linear")
        done = run("ucf101", "--data", triplets, "--limit", 1, *methods, "--json", file)
        assert done.exit_code == 0, done.stderr
        psnr[before] = json.loads(file.read_text())["summary"][-1]["psnr"]
    assert psnr["spoil"] == psnr["linear"]


def test_a_method_that_fails_shows_its_own_traceback_and_the_clip(triplets, functions):
    method = f"{functions}:broken"
    done = run("ucf101", "--data", triplets, "--limit", 1, "--method", method)
    assert str(done.exception) == "out of ideas"
    assert done.exception.__notes__ == [f"while {method} made 1 for ucf101"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_methods:nothing", "No function 'nothing'"),
        ("no_such_module:f", "Cannot import no_such_module"),
        ("no/such/folder", "Not a method: no/such/folder"),
        ("", "Not a method: "),
        ("needy:f", "needy needs it: install it beside this program"),
    ],
)
def test_a_method_that_does_not_exist_is_an_option_error(triplets, functions, name, message):
    Path("needy.py").write_text("import no_such_package")
    done = run("ucf101", "--data", triplets, "--limit", 1, "--method", name)
    assert done.exit_code == 2
    assert message in done.stderr


def test_an_unknown_model_is_named_whatever_the_first_clip_is_like(triplets):
    for path in (triplets / "1").iterdir():
        path.write_bytes(b"no picture")
    done = run("ucf101", "--data", triplets, "--limit", 1, "--model", "nothing")
    assert done.exit_code == 5
    assert "Unknown model: nothing" in done.stderr


def test_an_unknown_dataset_is_an_option_error_that_names_the_known_ones():
    done = run("xtes")
    assert done.exit_code == 2
    assert "No such dataset: xtes" in done.stderr
    assert "xtest, xtest-l" in done.stderr


def test_frames_of_another_size_than_the_protocol_needs_are_an_input_error(tmp_path):
    layouts.write_xiph(tmp_path, size=(32, 48), clips=1)
    done = run("xiph-2k", "--data", tmp_path, "--limit", 1, "--method", "average")
    assert done.exit_code == 3
    assert "Frames of 48x32 cannot be reduced to 2048x1080" in done.stderr
    done = run("xiph-4k", "--data", tmp_path, "--limit", 1, "--method", "average")
    assert done.exit_code == 3
    assert "Frames of 48x32 are too small to cut 1024 columns and 540 rows" in done.stderr


def test_frames_of_two_sizes_in_one_clip_are_an_input_error(triplets):
    (triplets / "1/frame_02.png").write_bytes(encode_png(np.zeros((32, 64, 3), np.uint8)))
    done = run("ucf101", "--data", triplets, "--limit", 1, "--method", "average")
    assert done.exit_code == 3
    assert "Frames of one clip are 48x32 and 64x32: 1" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "64x64"), "--dataset does not take --size"),
        (("--flow-scale", "0.5"), "--dataset does not take --flow-scale"),
        (("--dtype", "fp16", "--dtype", "fp32"), "--dataset takes one --dtype"),
    ],
)
def test_options_that_a_protocol_decides_are_refused(options, message):
    done = run("sample", *options)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_average_is_always_in_the_table_once(triplets):
    done = run("ucf101", "--data", triplets, "--limit", 1, "--method", "average")
    rows = [line.split()[0] for line in done.stdout.splitlines()[2:4]]
    assert rows == [Average.name, "VFIMamba"]
