# Every target makes what it needs: `make demo` and `make test` work as the first command after a clone.

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= synthetic
PORT ?= 8000
UI_PORT ?= 5000
STAMP := $(VENV)/.installed

.PHONY: setup demo loop test test-integration test-fast test-faults check docs licences release-notes ui serve lab notebooks architecture api-types mlproject constraints clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(STAMP) ## the virtual environment, with everything pinned

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -c "import sys; sys.exit(sys.version_info[:2] != (3, 11) and 'recstage needs Python 3.11: make setup PYTHON=/path/to/python3.11')"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[notebooks,dev]"
	touch $(STAMP)

demo: setup ## prepare, train, compare, promote, serve, promote another, roll back (DATA=... for any data set)
	$(BIN)/python experiments/demo.py --data $(DATA)

loop: setup ## the circle of feedback on simulated users: snapshot, retrain, experiment, promotion on live evidence
	$(BIN)/python -m experiments.loop

test: setup ## the tests, in some minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -m 'not integration and not faults'

test-integration: setup ## whole programs, services, notebooks and deployments from start to end, in some ten minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -m integration

test-faults: setup ## the table of docs/faults.md in its short form, in some five minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/experiments/test_faults.py

test-fast: setup ## the fast tests, without programs, servers and trainings
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -m 'not slow and not integration and not faults'

check: setup ## static checks: ruff, types, the rules of tests/structure, and the guide
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/structure --tb=line
	$(MAKE) --no-print-directory docs

docs: setup ## the guide as a website in build/guide, the reference from the code; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build --strict --config-file docs/site/mkdocs.yml

licences: setup ## rewrite docs/licences.md after a change of constraints.txt
	$(BIN)/python -m experiments.guide.licences

release-notes: setup ## what CHANGELOG.md says of VERSION=0.2.0, for its tag
	@$(BIN)/python -m experiments.guide.release_notes $(VERSION)

ui: setup ## the MLflow UI on this repository's store
	$(BIN)/recstage ui --port $(UI_PORT)

serve: setup ## the service, on whatever is staged Production
	$(BIN)/python -m serving --port $(PORT)

lab: setup ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir notebooks

api-types: setup ## write the Python client and the TypeScript types from the OpenAPI document
	$(BIN)/python -m experiments.api_types

notebooks: setup ## write the notebooks from their scripts, without outputs
	$(BIN)/jupytext --quiet --update --to ipynb --update-metadata '{"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}' notebooks/*.py
	$(BIN)/jupyter nbconvert --clear-output --inplace --log-level WARN notebooks/*.ipynb

architecture: setup ## redraw the pictures of docs/architecture.md from the imports
	$(BIN)/python -m tests.structure.picture

mlproject: setup ## rewrite MLproject after adding a model
	$(BIN)/python -m recstage.mlproject

constraints: setup ## rewrite constraints.txt from the versions installed here
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu//' > constraints.txt

clean: ## generated files: caches, prepared data, runs and models (asks nothing)
	rm -rf data/* mlruns/* mlflow.db* .pytest_cache .ruff_cache .mypy_cache build *.egg-info src/*.egg-info
