"""`vfimamba bench`: one thing at a time, measured and printed."""

import json
import re
from xml.etree import ElementTree

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

import vfimamba_cli.bench.cost as cost
import vfimamba_cli.bench.scan as scan
from tests.clips import make_clip
from vfimamba_cli.cli.app import app
from vfimamba_cli.cli.bench.command import TAKES

ROW = cost.CostRow(
    model="tiny",
    mixer="s6",
    width=64,
    height=64,
    flow_scale=1,
    parameters=1,
    macs=1,
    mixing_macs=1,
    memory_bytes=1,
    stored_bytes=1,
)


def run(*arguments):
    return CliRunner().invoke(app, ["bench", *arguments])


def test_speed_prints_a_row_per_model_dtype_and_size_and_writes_the_same_as_json(tmp_path):
    file = tmp_path / "speed.json"
    sizes = ("--size", "48x32", "--size", "32x32")
    dtypes = ("--dtype", "auto", "--dtype", "bf16")
    options = ("--device", "cpu", "--runs", "3", "--flow-scale", "0.5", "--tile", "32")
    done = run("--speed", "--model", "tiny", *sizes, *dtypes, *options, "--json", str(file))
    assert done.exit_code == 0, done.output
    machine, runs, head, *rows = done.stdout.splitlines()
    assert f"torch {torch.__version__}" in machine
    assert runs == "per made frame, median of 3 runs"
    assert head.split()[-6:] == ["shallow", "deep", "motion", "refine", "synthesis", "other"]
    settings = r" +cpu +0\.5 +32 px +"
    numbers = r"[\d.]+ ms +[\d.]+-[\d.]+ ms +([\d.]+ GiB|-)( +\d+ %){6}"
    ran = [("48x32", "float32"), ("32x32", "float32"), ("48x32", "bfloat16"), ("32x32", "bfloat16")]
    for row, (size, dtype) in zip(rows, ran, strict=True):
        assert re.fullmatch(f"tiny +{size} +{dtype}{settings}{numbers}", row), row
    written = json.loads(file.read_text())
    assert written["measured"] == "speed"
    assert written["settings"]["flow_scale"] == 0.5
    assert written["machine"]["versions"]["torch"] == torch.__version__
    assert [(f"{r['width']}x{r['height']}", r["dtype"]) for r in written["rows"]] == ran
    for row, values in zip(rows, written["rows"], strict=True):
        assert len(values["seconds"]) == 3
        assert f" {1000 * sorted(values['seconds'])[1]:.2f} ms " in row


def test_end_to_end_times_a_made_video_or_a_given_one_and_writes_nothing_else(tmp_path):
    file = tmp_path / "all.json"
    options = ("--model", "tiny", "--device", "cpu", "--json", str(file))
    done = run("--end-to-end", "--size", "64x48", "--limit", "4", *options)
    assert done.exit_code == 0, done.output
    machine, what, head, row = done.stdout.splitlines()
    assert f"torch {torch.__version__}" in machine
    assert what == "made frames per second, frame rate doubled, frames discarded"
    assert head.split()[:5] == ["model", "size", "dtype", "scan", "frames"]
    numbers = r"4 +[\d.]+/s +[\d.]+/s +[\d.]+ % +[\d.]+ % +[\d.]+ % +(engine|decode|encode)"
    memory = r"(\d+) -> (\d+) MiB"
    match = re.fullmatch(f"tiny +64x48 +float32 +cpu +{numbers} +{memory}", row)
    assert match, row
    assert 50 < int(match[2]) <= int(match[3]) + 200
    written = json.loads(file.read_text())
    assert written["measured"] == "end to end"
    assert written["rows"][0]["frames"] == 4

    clip = tmp_path / "in.mp4"
    make_clip(clip, frames=5, size=(64, 32))
    done = run("--end-to-end", "--data", str(clip), *options)
    assert done.exit_code == 0, done.output
    assert re.match(r"tiny +64x32 +float32 +cpu +5 ", done.stdout.splitlines()[-1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.json", "in.mp4"]


def test_what_was_measured_stays_when_a_later_model_cannot_be_had(tmp_path):
    file = tmp_path / "speed.json"
    models = ("--model", "tiny", "--model", "nothing")
    done = run("--speed", *models, "--size", "32x32", "--device", "cpu", "--json", str(file))
    assert done.exit_code == 5
    assert done.stdout.splitlines()[-1].startswith("tiny ")
    assert len(json.loads(file.read_text())["rows"]) == 1


def test_cost_prints_counts_and_draws_them(tmp_path):
    file, picture = tmp_path / "cost.json", tmp_path / "cost.svg"
    sizes = ("--size", "64x64", "--size", "128x64")
    done = run("--cost", "--model", "tiny", *sizes, "--json", str(file), "--plot", str(picture))
    assert done.exit_code == 0, done.output
    rows = done.stdout.splitlines()[2:]
    expected = [("S6", "64x64"), ("S6", "128x64")]
    expected += [("full attention", size) for _, size in expected]
    units = r"[\d.]+ M +[\d.]+ GMAC +[\d.]+ GMAC +[\d.]+ GiB +[\d.]+ GiB"
    for row, (mixer, size) in zip(rows, expected, strict=True):
        assert re.fullmatch(f"tiny +{mixer} +{size} +1 +{units}", row), row
    assert len(json.loads(file.read_text())["rows"]) == 4
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_without_sizes_cost_takes_the_papers(monkeypatch):
    asked = []
    monkeypatch.setattr(
        cost, "count", lambda *given, width, height, **rest: asked.append((width, height)) or ROW
    )
    assert run("--cost", "--model", "tiny").exit_code == 0
    assert asked == 2 * [(256, 256), (512, 512), (768, 768), (1024, 1024)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--speed", "--plot", "x.svg"), "--speed does not take --plot"),
        (("--scan", "--json", "x.json"), "--scan does not take --json"),
        (("--end-to-end", "--dtype", "fp32"), "--end-to-end does not take --dtype"),
        (("--radar", "x.json", "--json", "y.json"), "--radar does not take --json"),
        (("--cost", "--tile", "64", "--device", "cpu"), "--cost does not take --device, --tile"),
        (("--speed", "--verify"), "--speed does not take --verify"),
        (("--end-to-end", "--size", "33x32"), "H.264 has even sizes only, not 33x32"),
        (("--speed", "--flow-scale", "2"), "Not a flow scale: '2'"),
        (("--speed", "--dtype", "int8"), "int8"),
    ],
)
def test_options_that_cannot_be_used_so_are_refused(options, message):
    done = run(*options)
    assert done.exit_code == 2
    assert message in done.stderr


def test_scan_times_every_backend_that_can_run_here_but_the_reference(monkeypatch):
    small = scan.ScanSize(channels=8, tokens=64)
    monkeypatch.setattr(scan, "ScanSize", lambda: small)
    done = run("--scan", "--device", "cpu", "--runs", "1")
    assert done.exit_code == 0, done.output
    rows = done.stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["cpu", "chunked", "reference"]
    assert ["not timed" in row for row in rows] == [False, False, True]


@pytest.mark.parametrize("what", [(), ("--speed", "--scan"), ("--dataset", "davis7", "--cost")])
def test_exactly_one_measurement_is_asked_for(what):
    done = run(*what)
    assert done.exit_code == 2
    assert (
        "exactly one of --dataset, --speed, --end-to-end, --scan, --cost, --receptive-field and"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cost", "--json", "no/x.json"), "The folder does not exist: no"),
        (
            ("--cost", "--json", "clip.mp4"),
            "Exists already, and is no result of this program to be replaced: clip.mp4",
        ),
        (
            ("--cost", "--json", "x.svg", "--plot", "x.svg"),
            "Two things cannot go to one file: x.svg",
        ),
        (("--cost", "--plot", "x.png"), "What is written is SVG: x.png"),
        (("--dataset", "sample", "--report", "x.txt"), "What is written is HTML: x.txt"),
        (
            ("--cost", "--json", "settings.json"),
            "is no result of this program to be replaced: settings.json",
        ),
        (("--cost", "--json", "."), "is no result of this program to be replaced: ."),
    ],
)
def test_files_that_cannot_be_written_are_refused_before_any_work(
    tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0 ftypisom")
    (tmp_path / "settings.json").write_text('{"of": "somebody"}')
    monkeypatch.setattr(cost, "count_models", lambda *_, **__: pytest.fail("counted"))
    done = run(*options)
    assert done.exit_code == 4, done.output
    assert message in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "settings.json"}


def test_an_older_file_of_its_kind_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "count", lambda *_, **__: ROW)
    json_file, plot = tmp_path / "x.json", tmp_path / "x.svg"
    for _ in range(2):
        done = run("--cost", "--model", "tiny", "--json", json_file, "--plot", plot)
        assert done.exit_code == 0, done.output


def test_a_link_stays_one_and_the_result_goes_where_it_points(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "count", lambda *_, **__: ROW)
    link, there = tmp_path / "latest.json", tmp_path / "today.json"
    link.symlink_to(there)
    for _ in range(2):
        done = run("--cost", "--model", "tiny", "--json", link)
        assert done.exit_code == 0, done.output
        assert link.is_symlink()
        assert json.loads(there.read_text())["measured"] == "cost"


def test_every_option_goes_with_something():
    options = {name for p in get_command(app).commands["bench"].params for name in p.opts}
    taken = {name for names in TAKES.values() for name in names}
    assert options - {"--help"} == taken | TAKES.keys()


@pytest.mark.parametrize("size", ["640", "640x", "0x32", "axb", "-1x32"])
def test_a_size_that_is_none_is_refused(size):
    done = run("--speed", "--size", size)
    assert done.exit_code == 2
    assert repr(size) in done.stderr
