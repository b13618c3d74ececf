"""Results as one self-contained HTML page: tables, plots, the worst cases side by side."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from vfimamba_cli.bench.cases import Case
from vfimamba_cli.bench.clip_plot import clip_plot
from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.bench.results import PUBLISHED, Results
from vfimamba_cli.video.still import encode_png

TEMPLATE = Path(__file__).with_name("page.html")


def make_page(results: Results, cases: Sequence[Case], *, judged: str) -> str:
    """An HTML document that needs no other file.

    Args:
        results: all of them.
        cases: as `worst_cases` gives them.
        judged: the method whose worst cases these are.
    """
    fields = {
        "title": escape(f"vfimamba bench: {results.dataset}"),
        "lead": escape(f"{results.title()}. {results.machine.line()}."),
        "note": note(results),
        "table": html_table(results.main_lines()),
        "details": "\n".join(detail(results, protocol) for protocol in results.measured),
        "judged": escape(judged),
        "plots": "\n".join(clip_plot(results, protocol, judged) for protocol in results.measured),
        "cases": "\n".join(html_case(case, number) for number, case in enumerate(cases)),
        "settings": definitions(results),
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(fields)


def note(results: Results) -> str:
    """What to know of the main table."""
    published = any(protocol.published for protocol in results.measured)
    sentences = (
        "Rows in italics are numbers that others published; they were not measured here."
        if published
        else "",
        "This run took the first clips of the set only: means over all of it are others."
        if results.limit is not None
        else "",
    )
    return " ".join(filter(None, sentences))


def html_table(lines: Sequence[Sequence[str]]) -> str:
    """The first line as heads, the first cell of each other line too."""
    head, *rows = lines
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = []
    for name, *cells in rows:
        kind = ' class="published"' if cells[-1] == PUBLISHED else ""
        data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body.append(f'<tr{kind}><th scope="row">{escape(name)}</th>{data}</tr>')
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def detail(results: Results, protocol: Protocol) -> str:
    """What the terminal shows per protocol."""
    title, lines = results.detail_lines(protocol)
    return (
        f"<p>{escape(title)}</p>"
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(protocol.name)}">'
        f"{html_table(lines)}</div>"
    )


def html_case(case: Case, number: int) -> str:
    """Pictures over one another, two of them shown, a slider between them."""
    titles = list(case.views)
    truth, judged = titles.index("truth"), titles.index(case.score.method)
    images = "".join(
        f'<img alt="{escape(title)}" src="{data_address(encode_png(view))}">'
        for title, view in case.views.items()
    )
    numbers = ", ".join(f"{escape(name)} {value:.2f} dB" for name, value in case.psnr.items())
    heading = f"{case.score.protocol}: {case.score.clip}, frame {case.number}"
    return f"""<section class="case" aria-labelledby="case-{number}">
<h3 id="case-{number}">{escape(heading)}</h3>
<div class="choices"><label>left {choices(titles, truth)}</label>
<label>right {choices(titles, judged)}</label></div>
<div class="stage">{images}<div class="bar"></div></div>
<input type="range" min="0" max="100" value="50" aria-label="how much of the left one is shown">
<p class="numbers">whole frame: {numbers}; square from column {case.left}, row {case.top}</p>
</section>"""


def choices(titles: Iterable[str], chosen: int) -> str:
    """A select element."""
    options = "".join(
        f"<option{' selected' if i == chosen else ''}>{escape(title)}</option>"
        for i, title in enumerate(titles)
    )
    return f"<select>{options}</select>"


def data_address(png: bytes) -> str:
    """The picture itself as an address."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def definitions(results: Results) -> str:
    """Settings, methods and protocols, one a line."""
    entries = {
        **{name: value for name, value in results.settings.items() if name != "methods"},
        **{f"method {name}": facts for name, facts in results.methods.items()},
        **{protocol.name: protocol.source for protocol in results.measured},
    }
    lines = (f"<dt>{escape(k)}</dt><dd>{escape(words(v))}</dd>" for k, v in entries.items())
    return f"<dl>{''.join(lines)}</dl>"


def words(value: object) -> str:
    """For people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value) if value not in (None, "") else "-"
