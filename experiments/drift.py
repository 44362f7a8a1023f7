"""Drift between the training snapshot of a version and what the service sees now."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.experiments.drift")))
