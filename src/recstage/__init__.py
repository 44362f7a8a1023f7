"""recstage: train recommenders with MLflow Projects, compare and promote in the MLflow UI, serve Production."""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    # Read once, by whichever library brings GNU's OpenMP first. Its threads wait for each other by spinning, for
    # milliseconds; with another training on the same cores most of the time would go into that.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
