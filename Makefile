# Everything a fresh machine needs is a virtual environment, made by the first target that wants it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS := 1

.PHONY: demo test lint slow parity reproduce bench clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

demo: $(VENV)/installed          ## the main job, under two minutes
	$(BIN)/lifelong compare mnist-5k --methods naive,ewc,er,er+ewc,joint --seeds 3 --set ewc.strength=100 --out demo

test: lint                       ## all quick tests
	$(BIN)/python -m pytest -m 'not slow' -n 2 --timeout 600

lint: $(VENV)/installed          ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

slow: $(VENV)/installed          ## long soaks and the checks on reproduced figures
	$(BIN)/python -m pytest -m slow --timeout 7200

parity: $(VENV)/installed        ## PyTorch beside TensorFlow: docs/frameworks.md
	$(BIN)/python benchmarks/parity.py

reproduce: $(VENV)/installed     ## published figures; resumable; about 20 core hours
	$(BIN)/python benchmarks/reproduce.py

bench: $(VENV)/installed         ## the loop against hand-written ones; leave the machine alone
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/loop_tensorflow.py
	$(BIN)/python benchmarks/cost.py

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
