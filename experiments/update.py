"""Take in what happened since Production was trained, without training it again."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.retraining.update")))
