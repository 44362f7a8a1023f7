"""Cross-validate models: `--model als --data NAME --folds 5`, or `--scheme rolling`."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.benchmarks.cross_validate")))
