"""Trainers of the smallest network on made-up clips."""

import numpy as np
import torch

from tests.data.footage import panning
from tests.train.blend import Blend
from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.clips import make_clip
from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.train.logbook import Logbook, read_entries
from vfimamba_cli.train.recipe import Phase, Recipe, Source
from vfimamba_cli.train.run_folder import RunFolder
from vfimamba_cli.train.sources import Material
from vfimamba_cli.train.trainer import Trainer

CPU = torch.device("cpu")
RULES = TripletRules(crop=32)


def recipe_of(steps=20, rules=(RULES,), **changes):
    phases = [
        Phase(name=f"{i}", length=1 / len(rules),
              sources=(Source(dataset="clips", share=1, rules=r),))
        for i, r in enumerate(rules)
    ]  # fmt: skip
    return Recipe(model="tiny", steps=steps, batch=4, lr=3e-3, phases=tuple(phases), **changes)


def trainer_in(folder, recipe=None, *, network=None, device=CPU, **options):
    recipe = recipe or recipe_of()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(0)
    clips = [
        make_clip(f"clip {step}", panning(rng, frames=9, height=64, step=step), device, device)
        for step in (1, 3)
    ]
    material = Material({"clips": clips})
    batches = TripletBatches(
        material.mixtures(recipe),
        size=recipe.batch,
        seed=recipe.seed,
        device=device,
        fingerprint=material.fingerprint(),
    )
    run_folder = RunFolder(folder)
    folder.mkdir(exist_ok=True)
    said = []
    trainer = Trainer(
        network or Blend(), batches, recipe, folder=run_folder,
        logbook=Logbook(run_folder.metrics, said.append), **options,
    )  # fmt: skip
    trainer.said = said
    return trainer


def entries_of(folder, kind):
    return [entry for entry in read_entries(folder / "metrics.jsonl") if entry["kind"] == kind]


def stop_after(trainer, step):
    return lambda: trainer.step >= step
