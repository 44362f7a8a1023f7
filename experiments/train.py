"""Train one model: `--model NAME --data NAME`, and any setting of `recstage.steps.train_settings`."""

import sys
from collections.abc import Sequence

from recstage.cli import main, named


def step(arguments: Sequence[str]) -> object:
    from recstage.steps import train  # once `main` has prepared the process for its imports
    from recstage.steps.train_settings import settings_from

    names, rest = named(arguments, model=None, data="synthetic")
    return train.run(settings_from(names["model"], names["data"], rest))


if __name__ == "__main__":
    sys.exit(main(step))
