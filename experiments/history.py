"""Who was made Production when, by whom and why; what was Production at a time."""

import sys

from recstage.cli import main
from recstage.steps.registry import promotion_history

if __name__ == "__main__":
    sys.exit(main(lambda arguments: promotion_history.run(promotion_history.settings_from(arguments))))
