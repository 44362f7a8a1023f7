"""What each retriever and group of features of LambdaRank contributes: `--data NAME`; `--write true` for the docs."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.benchmarks.ablate")))
