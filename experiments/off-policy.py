"""Estimate what a version would earn, from the explored lists that others showed."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.experiments.off_policy")))
