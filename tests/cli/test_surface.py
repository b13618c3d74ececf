"""The installed command: its start, its options, its exports."""

import inspect
import os
import subprocess
import sys
import time

import pytest
import typer

import vfimamba_cli
from vfimamba_cli.cli.app import app, main

OPTIONS = {
    "interpolate": "output factor input-rate fps slowmo start end tail cut cuts write-cuts "
    "dedup mask deinterlace model device scan flow-scale tile container codec crf preset "
    "encoder-opt audio strict dry-run yes",
    "info": "",
    "train": "data stage photos synthetic-share val val-every model column-merge arrangement out "
    "steps minutes batch crop lr init resume dry-run device scan seed",
    "bench": "dataset verify speed end-to-end scan cost receptive-field radar data model "
    "method lpips size dtype flow-scale tile runs device limit json report plot",
}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "vfimamba_cli", *arguments], capture_output=True, text=True
    )


def test_help_loads_neither_torch_nor_av():
    code = (
        "import sys, vfimamba_cli.cli.app; "
        "sys.exit(bool({'torch', 'av', 'numpy', 'numba'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_answers_at_once():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) <= 0.6


def test_help_names_every_command():
    out = run("--help").stdout
    commands = ("interpolate", "info", "train", "bench", "weights", "runs")
    assert all(command in out for command in commands)


def test_the_version_is_the_package_version():
    assert run("--version").stdout == "vfimamba 0.1.0\n"


@pytest.mark.parametrize("command", OPTIONS)
def test_options_are_the_frozen_list(command):
    parameters = typer.main.get_command(app).commands[command].params
    found = {option for p in parameters for option in p.opts if option.startswith("--")}
    assert found == {f"--{name}" for name in OPTIONS[command].split()}


def test_an_unknown_command_is_a_usage_error():
    done = run("interpolte")
    assert done.returncode == 2
    assert "interpolte" in done.stderr


def test_everything_exported_exists_and_is_documented():
    for name in vfimamba_cli.__all__:
        assert inspect.getdoc(getattr(vfimamba_cli, name))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = vfimamba_cli.Nothing


def test_waiting_threads_do_not_spin_for_long_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr("vfimamba_cli.cli.app.app", lambda: None)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    main()
    assert os.environ["GOMP_SPINCOUNT"] == "20000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    main()
    assert os.environ["GOMP_SPINCOUNT"] == "5"
