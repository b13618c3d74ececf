"""`vfimamba bench --dataset`, from names to results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vfimamba_cli.bench.busy import watch
from vfimamba_cli.bench.cases import worst_cases
from vfimamba_cli.bench.ledger import Ledger
from vfimamba_cli.bench.loading import begin_first
from vfimamba_cli.bench.machine import Machine
from vfimamba_cli.bench.method import Average, Method, Model, find_method
from vfimamba_cli.bench.page import make_page
from vfimamba_cli.bench.perceptual import Lpips, LpipsMissingError
from vfimamba_cli.bench.quality import (
    SEED,
    Group,
    ScoreClips,
    find_folder,
    find_groups,
    protocols_of,
    run_protocols,
    score_clips,
)
from vfimamba_cli.bench.results import Results
from vfimamba_cli.bench.score import rehearse
from vfimamba_cli.bench.sharing import Place, crew, find_places
from vfimamba_cli.bench.speed import DTYPES
from vfimamba_cli.engine.warm_up import warming_up
from vfimamba_cli.errors import InputError
from vfimamba_cli.ops.device import choose_device, numbered


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for.

    Attributes:
        dataset: a dataset's name, or a single protocol's.
        models: names, paths or Hub IDs.
        methods: others, as `find_method` takes them.
        data: folder of the dataset; by default that of its name in VFIMAMBA_DATA.
        device: auto, cpu, cuda or cuda:N; see `find_places`.
        dtype: of the models' weights and activations; `auto` by the device.
        limit: take the first clips of each set only.
        lpips: measure LPIPS as well, where that can be.
    """

    dataset: str
    models: tuple[str, ...]
    methods: tuple[str, ...] = ()
    data: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    limit: int | None = None
    lpips: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """Methods that are loaded, and clips that were found.

    Attributes:
        request: what was asked for.
        methods: on `device`.
        groups: protocols with their clips.
        device: to work on; where several share the clips, the first.
        places: that share the clips; none where `device` works alone.
        lpips: on `device`; None where it is not asked for, or cannot be measured.
        why_no_lpips: the reason that it cannot.
    """

    request: Request
    methods: tuple[Method, ...]
    groups: tuple[Group, ...]
    device: torch.device
    places: tuple[Place, ...] = ()
    lpips: Lpips | None = None
    why_no_lpips: str = ""

    def gpus(self) -> list[torch.device]:
        """Those that work; none on a CPU."""
        shared = [torch.device("cuda", place.gpu) for place in self.places if place.gpu is not None]
        return shared or [self.device] * (self.device.type == "cuda")

    def settings(self) -> dict[str, Any]:
        """Everything that decides a score but the clips themselves, as JSON values.

        Two runs with the same settings can be parts of one.
        """
        asked = asdict(self.request) | {"data": str(self.request.data or "")}
        return asked | {
            "device": str(self.device),
            "seed": SEED,
            "lpips": self.lpips.facts if self.lpips else self.why_no_lpips or "not asked for",
            "methods": {method.name: method.facts for method in self.methods},
            "versions": Machine.of(self.device).versions,
        }


def measure(session: Session, *, ledger: Path | None, announce: Callable[[str], None]) -> Results:
    """Measure everything that was asked for.

    Args:
        session: what that is.
        ledger: keeps the scores of finished clips, and gives those of an interrupted run.
        announce: called with a line when an interrupted run goes on, when LPIPS was asked for and
            cannot be measured, and, at the end, with how long it took.

    Raises:
        VfimambaError: something asked for does not exist, or fails; see `run_protocols`.
    """
    request, settings = session.request, session.settings()
    scores = Ledger(ledger, settings)
    if session.why_no_lpips:
        announce(session.why_no_lpips)
    if scores.resumed:
        announce(f"going on with an interrupted run: {scores.resumed} scores from {ledger}")
    names = [method.name for method in session.methods]
    with watch(session.gpus()) as busy, scoring(session) as score_them:
        found = run_protocols(session.groups, score_them, names, scores)
    announce(busy.line())
    if not found:
        measured = session.groups[0].measured
        folder = find_folder(measured, request.data)
        raise InputError(f"No clips: {folder}", hint=measured.expected)
    return Results(
        dataset=request.dataset,
        protocols=protocols_of(request.dataset),
        methods={method.name: method.facts for method in session.methods},
        scores=found,
        limit=request.limit,
        settings=settings,
        machine=Machine.of(session.device),
        busy=busy,
    )


@contextmanager
def scoring(session: Session) -> Iterator[ScoreClips]:
    """What measures the clips: this process alone, or one for each of the session's places."""
    if not session.places:
        yield partial(
            score_clips, methods=session.methods, device=session.device, lpips=session.lpips
        )
        return
    request = replace(session.request, lpips=session.lpips is not None)
    with crew(session.places, partial(make_scorer, request)) as workers:
        yield workers.score_clips


def make_scorer(request: Request, device: torch.device, share: int) -> ScoreClips:
    """What one of `share` processes measures its clips by."""
    with warming_up(str(device), partial(rehearse, protocols_of(request.dataset))):
        methods = find_methods(request, device)
    lpips = Lpips(device) if request.lpips else None
    return partial(score_clips, methods=methods, device=device, share=share, lpips=lpips)


def report(session: Session, results: Results) -> str:
    """Results as a page, with the frames made again in which the first model was worst.

    Without a model, it is the last of the methods.

    Raises:
        VfimambaError: as `measure`.
    """
    named = [*session.request.models, session.methods[-1].name]
    judged = named[0]
    request = session.request
    groups = find_groups(results.measured, data=request.data, limit=request.limit)
    cases = worst_cases(
        groups, session.methods, results.scores, judged=judged, device=session.device
    )
    return make_page(results, cases, judged=judged)


def open_session(request: Request) -> Session:
    """Find the clips and load the methods; where this process measures, reading begins meanwhile.

    Raises:
        VfimambaError: a dataset, clip, method or model that does not exist.
    """
    protocols = protocols_of(request.dataset)
    device = numbered(choose_device(request.device))
    groups = find_groups(protocols, data=request.data, limit=request.limit)
    totals = [group.total for group in groups]
    most = None if None in totals else max(filter(None, totals), default=0)
    places = find_places(request.device)[:most]
    alone = len(places) < 2
    if alone and groups[0].total is not None:  # else finding the first clip is decoding already
        first = groups[0]
        groups[0] = replace(first, clips=begin_first(first.clips, first.protocols))
    with warming_up(str(device), partial(rehearse, protocols) if alone else None):
        methods = find_methods(request, device)
    lpips, why_not = find_lpips(device) if request.lpips else (None, "")
    return Session(
        request=request,
        methods=methods,
        groups=tuple(groups),
        device=device,
        places=() if alone else places,
        lpips=lpips,
        why_no_lpips=why_not,
    )


def find_lpips(device: torch.device) -> tuple[Lpips | None, str]:
    """LPIPS on `device`, or the line that says why it is not measured."""
    try:
        return Lpips(device), ""
    except LpipsMissingError as error:
        return None, f"LPIPS is not measured: {error}"


def find_methods(request: Request, device: torch.device) -> tuple[Method, ...]:
    """The average, then methods and models as they were named, each once."""
    first, *_ = protocols_of(request.dataset)
    methods: list[Method] = [Average()]
    methods += [find_method(name) for name in unique(request.methods) if name != Average.name]
    dtype = DTYPES[request.dtype]
    methods += [
        Model(name, device=device, dtype=dtype, first=first) for name in unique(request.models)
    ]
    return tuple(methods)


def unique(names: Sequence[str]) -> list[str]:
    """Without repetitions, in their order."""
    return list(dict.fromkeys(names))
