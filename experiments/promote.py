"""Promote a version, or the best, through the gate."""

import sys

from recstage.cli import main
from recstage.steps.registry import promote

if __name__ == "__main__":
    sys.exit(main(lambda arguments: promote.run(promote.settings_from(arguments))))
