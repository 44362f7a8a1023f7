"""Put the previous Production, or a named version, back."""

import sys

from recstage.cli import main
from recstage.steps.registry import rollback

if __name__ == "__main__":
    sys.exit(main(lambda arguments: rollback.run(rollback.settings_from(arguments))))
