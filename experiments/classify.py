"""Categories by the classifier in Production for the items that a person gave none: `--url`, `--name`."""

import sys

from serving.store.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["classify", *sys.argv[1:]]))
