"""The main job: prepare, train all, compare, promote through the gate."""

import sys

from recstage.cli import main
from recstage.steps import pipeline

if __name__ == "__main__":
    sys.exit(main(lambda arguments: pipeline.run(pipeline.settings_from(arguments))))
