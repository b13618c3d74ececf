"""`--encoder-opt k=v` held against the encoder's own list of options, before any work."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from av.codec.codec import Codec
from av.codec.context import CodecOption, OptionFlags, OptionType

from vfimamba_cli.errors import OptionError

NUMBERS = {
    OptionType.INT,
    OptionType.INT64,
    OptionType.UINT,
    OptionType.UINT64,
    OptionType.FLOAT,
    OptionType.DOUBLE,
}


def parse_options(pairs: Iterable[str]) -> dict[str, str]:
    """`key=value` texts by key; the value may hold more equals signs.

    Raises:
        OptionError: for a text without one.
    """
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise OptionError(
                f"--encoder-opt takes name=value, got {pair!r}",
                hint="For instance --encoder-opt tune=film",
            )
        options[key] = value
    return options


def check_options(encoder: str, options: Mapping[str, str]) -> None:
    """See that `encoder` knows all `options` and that numbers among them are in range.

    Raises:
        OptionError: naming the option, and the nearest that there are.
    """
    known = known_options(encoder) if options else {}
    for name, value in options.items():
        if name not in known:
            near = get_close_matches(name, known, n=3)
            raise OptionError(
                f"{encoder} has no option {name!r}",
                hint=f"Is one of these meant: {', '.join(near)}?"
                if near
                else f"`ffmpeg -h encoder={encoder}` lists them",
            )
        _check_value(encoder, known[name], value)


def known_options(encoder: str) -> dict[str, CodecOption]:
    """The options of a video encoder by name: its own, and those that all share."""
    wanted = OptionFlags.ENCODING_PARAM | OptionFlags.VIDEO_PARAM
    listed = Codec(encoder, "w").create().supported_options
    shared = [option for option in listed.generic if option.flags & wanted == wanted]
    return {option.name: option for option in (*shared, *listed.private)}


def _check_value(encoder: str, option: CodecOption, value: str) -> None:
    """Names of values and plain numbers; other ways to write them are left to the encoder."""
    names = [choice.name for choice in option.choices]
    if option.type not in NUMBERS or value in names:
        return
    try:
        number = float(value)
    except ValueError:
        if not names:
            return
        raise OptionError(
            f"{encoder} takes no {option.name}={value}", hint=f"Use one of {', '.join(names)}"
        ) from None
    if not option.min <= number <= option.max:
        raise OptionError(
            f"{encoder} takes {option.name} from {option.min:g} to {option.max:g}, got {value}"
        )
