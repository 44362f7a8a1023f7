"""Measure all models on a data set; `--against '["als-fit"]'` holds contests with the libraries of the field."""

import sys

from recstage.cli import main
from recstage.steps.benchmarks import benchmark

if __name__ == "__main__":
    sys.exit(main(lambda arguments: benchmark.run(benchmark.settings_from(arguments))))
