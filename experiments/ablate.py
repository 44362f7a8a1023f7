"""Which retriever and group of features of LambdaRank earns what: `--data NAME`; `--write true` puts it in the docs."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.benchmarks.ablate")))
