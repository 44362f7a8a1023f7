"""Register the model of a run as a new version: `--run RUN_ID`."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.registry.register")))
