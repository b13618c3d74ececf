"""Imports point down, third parties have one home, modules stay readable."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "vfimamba_cli"
MAY_IMPORT = {  # folder or module -> what it may import of ours
    "__init__": {"pipeline", "engine", "video", "checkpoint", "errors"},
    "__main__": {"cli"},
    "errors": set(),
    "differences": set(),
    "host": set(),
    "metrics": set(),
    "frame": {"errors"},
    "ops": {"errors"},
    "model": {"ops", "errors"},
    "checkpoint": {"model", "ops", "errors"},
    "engine": {"model", "ops", "frame", "host", "errors"},
    "video": {"frame", "errors"},
    "data": {"video", "frame", "host", "errors"},
    "train": {
        "model",
        "ops",
        "data",
        "video",
        "checkpoint",
        "differences",
        "host",
        "metrics",
        "errors",
    },
    "bench": {
        "pipeline",
        "engine",
        "data",
        "video",
        "checkpoint",
        "frame",
        "model",
        "ops",
        "differences",
        "metrics",
        "errors",
    },
    "pipeline": {"engine", "video", "checkpoint", "frame", "model", "errors"},
    "cli": {"pipeline", "video", "train", "bench", "checkpoint", "ops", "errors"},
}
ONLY_IN = {
    "av": {"video"},
    "typer": {"cli"},
    "numba": {"ops"},
    "triton": {"ops"},
    "mamba_ssm": {"ops"},
    "selective_scan_cuda": {"ops"},
    "safetensors": {"checkpoint"},
    "huggingface_hub": {"checkpoint"},
}
MODULES = sorted(ROOT.rglob("*.py"))


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    home = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports_of(path):
        top, *rest = name.split(".")
        if top == "vfimamba_cli" and rest and rest[0] != home:
            assert rest[0] in MAY_IMPORT[home], f"{home} must not import {name}"
        assert home in ONLY_IN.get(top, {home}), f"only {ONLY_IN[top]} may import {top}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_are_a_few_screens_long(path):
    assert len(path.read_text().splitlines()) <= 300


def test_the_rules_name_every_part_of_the_package():
    parts = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES}
    assert parts == set(MAY_IMPORT)
