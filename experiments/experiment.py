"""Begin, change or end the experiment of the version in Staging."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.experiments.experiment")))
