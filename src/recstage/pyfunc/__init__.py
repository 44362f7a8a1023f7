"""A bundle as an MLflow pyfunc model."""
