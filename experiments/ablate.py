"""Which retriever and group of features of LambdaRank earns what: `--data NAME`; `--write true` puts it in the docs."""

import sys

from recstage.cli import main
from recstage.steps.benchmarks import ablate

if __name__ == "__main__":
    sys.exit(main(lambda arguments: ablate.run(ablate.settings_from(arguments))))
