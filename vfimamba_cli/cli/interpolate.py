"""`vfimamba interpolate in.mp4 --factor 4 -o out.mp4`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.cli.loading import loading
from vfimamba_cli.errors import OptionError

T = TypeVar("T")

FLOW_SCALES: dict[str, float | Literal["auto"]] = {
    "auto": "auto",
    "1": 1.0,
    "0.5": 0.5,
    "0.25": 0.25,
}
CUTS: dict[str, Literal["hold", "nearest", "blend", "off"]] = {
    "hold": "hold",
    "nearest": "nearest",
    "blend": "blend",
    "off": "off",
}
TAILS: dict[str, Literal["hold", "drop"]] = {"hold": "hold", "drop": "drop"}
AUDIO: dict[str, Literal["stretch", "drop"]] = {"stretch": "stretch", "drop": "drop"}


def interpolate(
    source: Annotated[
        Path, typer.Argument(metavar="IN", readable=False, help="Video to read; - is a pipe")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Video to write; - is standard output [default: IN's name with the new rate]",
        ),
    ] = None,
    factor: Annotated[
        str | None,
        typer.Option(
            "--factor", "-x", help="Times as many frames per second: 2, 2.5 or 5/2 [default: 2]"
        ),
    ] = None,
    input_rate: Annotated[
        str | None,
        typer.Option(help="Of numbered pictures, IN being frames/%05d.png, say [default: 25]"),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(help="A constant rate instead, lower ones too: 60, 59.94 or 24000/1001"),
    ] = None,
    slowmo: Annotated[
        str | None,
        typer.Option(help="Times as long, with as many frames per second as IN: 4, 2.5 or 5/2"),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Write only from here on: 90, 1:30 or 0:01:30.5")
    ] = None,
    end: Annotated[str | None, typer.Option(help="Write only up to here, likewise")] = None,
    tail: Annotated[
        str, typer.Option(help="hold or drop: what comes after the last source frame")
    ] = "hold",
    cut: Annotated[
        str, typer.Option(help="Between two scenes: hold, nearest or blend; off looks for no cuts")
    ] = "hold",
    cuts: Annotated[
        Path | None,
        typer.Option(help="A list of the cuts, a time on each line, instead of looking"),
    ] = None,
    write_cuts: Annotated[
        Path | None, typer.Option(help="Write the cuts that were found to a list")
    ] = None,
    dedup: Annotated[
        int,
        typer.Option(min=0, help="Move drawings that are held for up to so many frames: 6"),
    ] = 0,
    mask: Annotated[
        Path | None,
        typer.Option(help="Picture, white where frames stay as in IN: logos, hard subtitles"),
    ] = None,
    deinterlace: Annotated[
        bool, typer.Option("--deinterlace", help="Make whole pictures of interlaced ones")
    ] = False,
    model: Annotated[
        str,
        typer.Option(help="Name from `vfimamba weights list`, a .safetensors file, or a Hub ID"),
    ] = "vfimamba-s",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    scan: Annotated[
        str, typer.Option(help="auto, lanes, triton, mamba_cuda, cpu, chunked or reference")
    ] = "auto",
    flow_scale: Annotated[
        str, typer.Option(help="Size at which motion is found: auto, 1, 0.5 or 0.25")
    ] = "auto",
    tile: Annotated[
        int,
        typer.Option(min=0, help="Side of the tiles in pixels; 0 takes what fits the memory"),
    ] = 0,
    container: Annotated[
        str | None,
        typer.Option(help="Of standard output, `-o -`: matroska, nut or y4m [default: matroska]"),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="h264, h265, av1, vp9, ffv1 (lossless), prores, or h264_nvenc, hevc_nvenc, "
            "av1_nvenc on GPUs that have it [default: h264 for 8 bits, else h265]"
        ),
    ] = None,
    crf: Annotated[
        float | None,
        typer.Option(help="Quality, lower is better; 16 by default, 20 for av1, 19 on GPUs"),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="The encoder's speed, by its own names: medium, 8, p5")
    ] = None,
    encoder_opt: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the encoder's own; repeatable"),
    ] = None,
    audio: Annotated[
        str, typer.Option(help="stretch sound with --slowmo, or drop it in any case")
    ] = "stretch",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse to leave out or convert what OUT's kind cannot hold"),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come out, and write nothing")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--yes", "-y", help="Replace the output file if it exists")
    ] = False,
) -> None:
    """Insert frames between those of IN, keeping its sound, timing, length and colors."""
    with user_errors():
        with loading(device):
            from vfimamba_cli.pipeline import interpolate_video  # torch and av load here
        from vfimamba_cli.pipeline.describe import describe_plan
        from vfimamba_cli.pipeline.options import (
            EngineOptions,
            PictureOptions,
            TimeOptions,
            parse_rate,
            parse_ratio,
        )
        from vfimamba_cli.video.encoder_options import parse_options
        from vfimamba_cli.video.options import WriteOptions
        from vfimamba_cli.video.timeline import parse_seconds

        time = TimeOptions(
            factor=given(parse_ratio, factor, "--factor"),
            fps=given(parse_rate, fps, "--fps"),
            input_rate=given(parse_rate, input_rate, "--input-rate"),
            slowmo=given(parse_ratio, slowmo, "--slowmo"),
            start_seconds=given(parse_seconds, start, "--start"),
            end_seconds=given(parse_seconds, end, "--end"),
            tail=one_of(tail, TAILS, "--tail"),
        )
        pictures = PictureOptions(
            cut=one_of(cut, CUTS, "--cut"),
            cuts=cuts,
            write_cuts=write_cuts,
            dedup=dedup,
            mask=mask,
            deinterlace=deinterlace,
        )
        writing = WriteOptions(
            container=container,
            codec=codec,
            crf=crf,
            preset=preset,
            encoder_options=parse_options(encoder_opt or ()),
            audio=one_of(audio, AUDIO, "--audio"),
            strict=strict,
            overwrite=overwrite,
        )
        if dry_run:
            lines = describe_plan(source, output, time=time, pictures=pictures, writing=writing)
            typer.echo("\n".join(lines))
            return
        report = interpolate_video(
            source,
            output,
            time=time,
            pictures=pictures,
            engine=EngineOptions(
                model=model,
                device=device,
                scan=scan,
                flow_scale=one_of(flow_scale, FLOW_SCALES, "--flow-scale"),
                tile=tile,
            ),
            writing=writing,
            announce=lambda line: typer.echo(line, err=True),
            progress=True,
        )
        typer.echo(report.summary(), err=str(output) == "-")


def given(parse: Callable[[str, str], T], text: str | None, option: str) -> T | None:
    """What `text` stands for, if there is any."""
    return None if text is None else parse(text, option)


def one_of(word: str, allowed: Mapping[str, T], option: str) -> T:
    """What `word` stands for.

    Raises:
        OptionError: if it stands for nothing, naming what is allowed.
    """
    if word not in allowed:
        raise OptionError(
            f"{option} {word!r} is not one of {', '.join(allowed)}",
            hint=f"Try {option} {next(iter(allowed))}",
        )
    return allowed[word]
