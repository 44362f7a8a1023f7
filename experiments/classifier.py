"""Train the item classifier: `--data FILE`, `--classifier.family`, and any setting of conf/classifier.yaml."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.classification.train")))
