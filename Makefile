PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
CORPORA ?= ../shared/data
INPUTS ?= 1000000

.PHONY: demo test lint rules bench score fuzz clean

$(BIN)/outreach: setup.cfg pyproject.toml
	@began=$$(date +%s); $(PYTHON) -m venv $(VENV) \
	&& $(BIN)/pip install --quiet --disable-pip-version-check -e . \
	&& echo "installed in $$(( $$(date +%s) - began )) s"
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml
	@began=$$(date +%s); $(PYTHON) -m venv $(VENV) \
	&& $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,postgres]' \
	&& echo "installed for tests in $$(( $$(date +%s) - began )) s"
	@touch $(VENV)/.dev

demo: $(BIN)/outreach
	$(BIN)/outreach demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.dev lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

rules: $(VENV)/.dev
	$(BIN)/python -m tests.rules

bench: $(VENV)/.dev
	@missed=0; for script in benchmarks/[a-z]*.py; do echo "== $$script"; \
	PYTHONPATH="$(CURDIR)" $(BIN)/python $$script || missed=1; done; exit $$missed

score: $(VENV)/.dev
	PYTHONPATH="$(CURDIR)" $(BIN)/python benchmarks/classify.py $(CORPORA)

fuzz: $(VENV)/.dev
	PYTHONPATH="$(CURDIR)" $(BIN)/python -m tests.fuzz_mail $(INPUTS)

clean:
	rm -rf $(VENV) .test-tools .outreach-demo
