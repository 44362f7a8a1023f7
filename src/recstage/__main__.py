"""`python -m recstage`: the same as the command `recstage`."""

import sys

from recstage.commands.app import main

if __name__ == "__main__":
    sys.exit(main())
