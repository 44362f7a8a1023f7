"""Compare all versions and the current Production, as a table, HTML and CSV."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.registry.compare")))
