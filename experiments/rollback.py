"""Put the previous Production, or a named version, back."""

import sys

from recstage.entry import main
from recstage.steps import rollback

if __name__ == "__main__":
    sys.exit(main(lambda arguments: rollback.run(rollback.settings_from(arguments))))
