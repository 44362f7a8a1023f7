-- Besides the service's database, which POSTGRES_DB creates: the one of MLflow.
CREATE DATABASE mlflow;
