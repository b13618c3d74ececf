"""The README's Python example runs as printed."""

import re
from pathlib import Path

from tests.clips import make_clip, read_frames

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    make_clip(tmp_path / "in.mp4", frames=3, size=(64, 48))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "torch.Size([3, 1, 3, 48, 64])" in printed
    assert "3 -> 6 frames" in printed
    assert len(read_frames("out.mp4")) == 6
