"""Delete old versions: all but the last of each algorithm, never Production or its predecessor."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.registry.prune")))
