"""Measure a registered version again, on its own data or another data set."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.evaluate")))
