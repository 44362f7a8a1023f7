"""The main job: prepare, train all, compare, promote through the gate."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.pipeline")))
