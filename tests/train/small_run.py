"""A run of the smallest network in a process of its own, that logs and saves at every step.

python -m tests.train.small_run OUT DATA STEPS [--resume]
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from tests.train.blend import Blend
from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.train import session, trainer
from vfimamba_cli.train.recipe import Phase, Recipe, Source


def main(out, data, steps, *flags):
    torch.set_num_threads(1)
    trainer.LOG_SECONDS = trainer.SAVE_SECONDS = 0.0
    session.make_network = lambda asked, recipe, device: seeded(recipe.seed)
    rules = TripletRules(crop=32)
    phases = (
        Phase(name="all", length=1, sources=(Source(dataset="clips", share=1, rules=rules),)),
    )
    recipe = Recipe(model="tiny", steps=int(steps), batch=4, lr=3e-3, phases=phases)
    session.train(
        session.Session(data=Path(data), out=Path(out), resume="--resume" in flags, device="cpu"),
        recipe,
        announce=lambda line: sys.stdout.write(line + "\n") and sys.stdout.flush(),
        stopping=lambda: nullcontext(lambda: False),
    )


def seeded(seed):
    torch.manual_seed(seed)
    return Blend()


if __name__ == "__main__":
    main(*sys.argv[1:])
