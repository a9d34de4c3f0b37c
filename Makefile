PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
CORPORA ?= ../shared/data
INPUTS ?= 1000000

.PHONY: demo browser test lint rules pictures reference bench score fuzz clean

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

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { echo "installing Chromium for the browser tests"; \
	$(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

test: $(VENV)/.dev browser lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

rules: $(VENV)/.dev
	$(BIN)/python -m tests.rules

pictures: $(VENV)/.dev browser
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.pictures

reference: $(VENV)/.dev
	$(BIN)/python -m tests.reference

bench: $(VENV)/.dev
	@missed=0; for script in benchmarks/[a-z]*.py; do echo "== $$script"; \
	PYTHONPATH="$(CURDIR)" $(BIN)/python $$script || missed=1; done; exit $$missed

score: $(VENV)/.dev
	PYTHONPATH="$(CURDIR)" $(BIN)/python benchmarks/classify.py $(CORPORA)
	PYTHONPATH="$(CURDIR)" $(BIN)/python benchmarks/headers.py $(CORPORA)

fuzz: $(VENV)/.dev
	PYTHONPATH="$(CURDIR)" $(BIN)/python -m tests.fuzz_mail $(INPUTS)

clean:
	rm -rf $(VENV) .test-tools .outreach-demo
