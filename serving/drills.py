"""Old name of `python -m experiments.benchmarks`, for one version (recstage.renamed)."""

from recstage.renamed import run_command

if __name__ == "__main__":
    run_command("serving.drills")
