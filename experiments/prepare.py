"""Read, validate, split and cache a data set: `--data NAME`."""

import sys

from recstage.cli import main
from recstage.steps import prepare

if __name__ == "__main__":
    sys.exit(main(lambda arguments: prepare.run(prepare.settings_from(arguments))))
