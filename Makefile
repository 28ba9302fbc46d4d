# Two commands do everything on a machine with Python 3.11+:  make demo   make test
# Both make their own environment in .venv first.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test lint docs model benchmark accuracy clean

## Build the shipped data set, train three models, judge them, write demo/report.html (at most 8 minutes on two cores)
demo: $(VENV)/demo
	@rm -rf demo
	$(BIN)/encre quickstart --out demo

## Lint, types, import law, then every test
test: $(VENV)/dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

## Train the small default model that the package ships (about an hour on one core that computes bf16)
model: $(VENV)/demo
	$(BIN)/python scripts/make_model.py

## What the README and docs claim, measured here (see docs/benchmarks.md)
benchmark: $(VENV)/benchmark
	$(BIN)/python benchmarks/main_job.py
	$(BIN)/python benchmarks/registry_scale.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/saturation.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/training_extras.py
	$(BIN)/python benchmarks/long_memory.py
	$(BIN)/python benchmarks/signals.py

## Accuracy on real data and the ablation: hours; their records are in benchmarks/results
accuracy: $(VENV)/dev
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/ablation.py
	$(BIN)/python benchmarks/ablation.py --grid recipe

clean:
	rm -rf $(VENV) demo

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "encre needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch is installed first and by its exact version, so that nothing else pulls another build of it
$(VENV)/demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing encre into $(VENV) (a minute or two, once)"
	@$(PIP) install -c constraints.txt "$$(grep -m1 '^torch==' constraints.txt)"
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/benchmark: $(VENV)/demo
	@$(PIP) install -c constraints.txt -e '.[benchmark]'
	@touch $@
