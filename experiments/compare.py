"""Compare all versions and the current Production, as a table, HTML and CSV."""

import sys

from recstage.cli import main
from recstage.steps.registry import compare

if __name__ == "__main__":
    sys.exit(main(lambda arguments: compare.run(compare.settings_from(arguments))))
