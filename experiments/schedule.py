"""Look at fixed intervals whether a retraining is due, and do it."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.retraining.schedule")))
