"""Retrain where it is due, and stage the winner as Staging."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.retraining.retrain")))
