# Two commands are enough on a fresh machine with Python 3.11+, git and make:  make demo,  make test
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PYTHONUTF8 := 1

.PHONY: help demo test test-backends test-nojit soak lint bench clean

help: ## what can be made here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

# uv resolves nothing here: constraints.txt fixes every version that was tested together.
$(READY): pyproject.toml constraints.txt
	@echo "==> environment: $(VENV), with $$($(PYTHON) --version) (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@echo "==> installing consilience and what it needs"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## train the eight members and the stack on the bundled index data
	@echo "==> consilience train (demo: daily S&P 500 and NASDAQ, 1999-2018)"
	@$(BIN)/consilience train

test: $(READY) ## the test suite (the networks run on jax)
	@echo "==> tests"
	@$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadgroup

test-backends: $(READY) ## the networks' suite, once per Keras backend, each in its own process
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,onnx]'
	@for b in jax tensorflow torch; do \
	  echo "==> tests/keras_models on $$b"; \
	  if ! $(BIN)/python -c "import $$b" 2>/dev/null; then \
	    if [ $$b = torch ]; then echo "==> installing torch (CPU)"; $(BIN)/python -m pip install --quiet torch==2.13.0 || exit 1; else echo "$$b is missing"; exit 1; fi; fi; \
	  KERAS_BACKEND=$$b $(BIN)/python -m pytest -m "not slow" tests/keras_models || exit 1; done

test-nojit: $(READY) ## the kernels' suite without Numba's compiler
	@NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m "not slow" tests/kernels -n 2

soak: $(READY) ## long soak and fault campaigns
	@$(BIN)/python -m pytest -m slow -s -rs

lint: $(READY) ## ruff, mypy, import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(READY) ## latency of members and stack, kernels against numpy
	@$(BIN)/consilience bench

clean: ## removes what make made (not runs/ nor registry/)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
