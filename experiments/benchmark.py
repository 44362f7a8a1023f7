"""Measure all models on a data set; `--against '["als-fit"]'` compares with other libraries."""

import sys

from recstage.cli import main, step_of

if __name__ == "__main__":
    sys.exit(main(step_of("recstage.steps.benchmarks.benchmark")))
