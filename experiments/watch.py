"""Watch a fresh Production, and roll it back on a breach."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.experiments.watch")))
