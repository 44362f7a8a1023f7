"""Train one model: `--model NAME --data NAME`, and any setting of `recstage.steps.train`."""

import sys

from recstage.cli import main, named
from recstage.steps import train


def step(arguments):
    names, rest = named(arguments, model=None, data="synthetic")
    return train.run(train.settings_from(names["model"], names["data"], rest))


if __name__ == "__main__":
    sys.exit(main(step))
