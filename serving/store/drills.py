"""Old name of `python -m experiments.benchmarks --only durability` and `ingest`, for one version."""

from recstage.renamed import run_command

if __name__ == "__main__":
    run_command("serving.store.drills")
