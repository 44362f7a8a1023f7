"""Who was made Production when, by whom and why; what was Production at a time."""

import sys

from recstage.entry import main
from recstage.steps import history

if __name__ == "__main__":
    sys.exit(main(lambda arguments: history.run(history.settings_from(arguments))))
