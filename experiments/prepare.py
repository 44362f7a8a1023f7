"""Read, validate, split and cache a data set: `--data NAME`."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.prepare")))
