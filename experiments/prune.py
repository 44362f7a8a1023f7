"""Delete old versions: all but the last of each algorithm, never Production or its predecessor."""

import sys

from recstage.cli import main
from recstage.steps.registry import prune

if __name__ == "__main__":
    sys.exit(main(lambda arguments: prune.run(prune.settings_from(arguments))))
