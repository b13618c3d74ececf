import json
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from vfimamba_cli.cli.app import app

SVG = "{http://www.w3.org/2000/svg}"


def document(path, summary, published=()):
    """What `--dataset --json` writes, as far as the chart reads it."""
    protocols = {name: {"published": []} for _, name, _ in summary}
    for method, name, psnr in published:
        protocols[name]["published"].append({"method": method, "psnr": psnr})
    rows = [{"method": m, "protocol": p, "psnr": v} for m, p, v in summary]
    path.write_text(json.dumps({"summary": rows, "protocols": protocols}))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_methods_of_several_runs_are_polygons_the_best_of_each_axis_outside(tmp_path):
    first = document(
        tmp_path / "a.json",
        [("a", "p", 20.0), ("a", "q", 30.0), ("b", "p", 25.0), ("b", "q", 28.0), ("c", "p", 9.0)],
        [("x", "p", 22.0), ("x", "q", 29.0)],
    )
    second = document(
        tmp_path / "b.json",
        [("a", "r", 30.0), ("b", "r", 30.0)],
        [("x", "r", 30.0)],
    )
    picture = tmp_path / "radar.svg"
    done = run("--radar", first, "--radar", second, "--plot", picture)
    assert done.exit_code == 0, done.stderr
    root = ElementTree.parse(picture).getroot()
    methods = [path for path in root.iter(f"{SVG}path") if path.get("class") == "method"]
    assert len(methods) == 3  # c was measured on one axis only
    assert [path.get("stroke-dasharray") is None for path in methods] == [True, True, False]
    tops = [float(path.get("d")[1:].split("L")[0].split()[1]) for path in methods]
    assert tops == pytest.approx([-50, -200, -50 - 0.4 * 150])  # the worst, the best, and 2 of 5 dB
    labels = " ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))
    assert "20.00-25.00 dB" in labels
    assert "x (published)" in labels


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, 3, "Cannot read: No such file"),
        ("{}", 3, "Not the numbers of a dataset"),
        ('{"summary": [], "protocols": {}}', 2, "needs 3 protocols or more"),
    ],
)
def test_what_makes_no_chart_is_said(tmp_path, content, code, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    done = run("--radar", path, "--plot", tmp_path / "radar.svg")
    assert done.exit_code == code
    assert message in done.stderr
    assert not (tmp_path / "radar.svg").exists()
    assert run("--radar", path).exit_code == 2
