"""Read the experiment on live users."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.experiments.ab_report")))
