"""Store lists by the Production version for all users it knows: `--limit`, `--hours`, and `--url` of the database."""

import sys

from serving.store.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["precompute", *sys.argv[1:]]))
