"""Promote a version, or the best, through the gate."""

import sys

from recstage.entry import main
from recstage.steps import promote

if __name__ == "__main__":
    sys.exit(main(lambda arguments: promote.run(promote.settings_from(arguments))))
