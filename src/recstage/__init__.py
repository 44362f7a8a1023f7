"""recstage: train recommenders with MLflow Projects, compare them in the MLflow UI, serve the version staged Production."""
