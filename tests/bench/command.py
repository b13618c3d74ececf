"""The command, in this process."""

from typer.testing import CliRunner

from vfimamba_cli.cli.app import app


def run(dataset, *arguments):
    """`vfimamba bench --dataset ...`: what it printed, and its exit code."""
    return CliRunner().invoke(app, ["bench", "--dataset", dataset, *map(str, arguments)])
