"""recstage: train recommenders with MLflow Projects, compare and promote in the MLflow UI, serve Production."""
