"""Measure a registered version again, on its own data or another data set."""

import sys

from recstage.cli import main
from recstage.steps import evaluate

if __name__ == "__main__":
    sys.exit(main(lambda arguments: evaluate.run(evaluate.settings_from(arguments))))
