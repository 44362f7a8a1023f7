"""Register the model of a run as a new version: `--run RUN_ID`."""

import sys

from recstage.cli import main
from recstage.steps.registry import register

if __name__ == "__main__":
    sys.exit(main(lambda arguments: register.run(register.settings_from(arguments))))
