"""What keeps this installation from working, and, with `--fix true`, mending it."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.doctor")))
