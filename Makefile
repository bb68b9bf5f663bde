# Every target sets up what it needs: a virtual environment here, nothing elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RAY_STAMP := $(VENV)/.installed-ray
# Tests at a time: most of them wait more than they compute.
JOBS ?= 2
# Extra options for pip, e.g. an index with CPU-only builds of PyTorch.
PIP_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-integration test-ray test-kills test-crash test-browser test-e2e test-compose quality bench bench-peers bench-durability clean

help:
	@echo "make demo              a research session loses its backend to kill -9, is resumed, and completes"
	@echo "make test              quality, then unit, contract and integration tests"
	@echo "make test-unit         unit and contract tests"
	@echo "make test-integration  real backend processes, real kills, both databases"
	@echo "make test-ray          the executor contract and sessions on a real Ray cluster"
	@echo "make test-browser      the tear sheet in a real Chromium (installs it on Debian when it is not there)"
	@echo "make test-e2e          the end-to-end scripts of milestones 1 to 8 against local processes"
	@echo "make test-compose      milestone 7 in containers: build, restart, kill, resume (needs docker-compose, curl, jq)"
	@echo "make test-kills        what takes minutes: expired leases, outages, 20 interruptions, 50 workers"
	@echo "make test-crash        hundreds of kills at every commit, fsync and rename, and at any instant; prints a table"
	@echo "make quality           ruff, mypy, import-linter, architecture tests"
	@echo "make bench             the measurements behind the numbers in the documents"
	@echo "make bench-peers       backtests against backtesting.py and vectorbt (installed in .venv-peers)"
	@echo "make bench-durability  a phase transition against LangGraph and DBOS (installed in .venv-durability)"
	@echo "make clean             remove the environment and everything generated"

demo: $(STAMP)
	$(BIN)/ktrdr demo $(ARGS)

test: quality test-unit test-integration

test-unit: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) tests/unit tests/contract tests/browser

test-integration: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) -m 'not ray' tests/executors tests/integration tests/crash

test-ray: $(RAY_STAMP)
	$(BIN)/python -m pytest -m ray tests/executors tests/integration

test-browser: $(STAMP)
	{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
	$(BIN)/python -m pytest tests/browser

test-kills: $(STAMP)
	$(BIN)/python -m pytest tests/kills

# An hour; ARGS="--minutes 10" is shorter.
test-crash: $(STAMP)
	$(BIN)/python -m tests.crash $(ARGS)

test-e2e: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/e2e/run_local.sh

# Everything it needs is in the images: no virtual environment.
test-compose:
	PIP_OPTIONS="$(PIP_OPTIONS)" bash scripts/e2e/compose.sh

quality: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest tests/architecture

bench: $(STAMP)
	$(BIN)/python -m benchmarks.reconciliation
	$(BIN)/python -m benchmarks.restart
	$(BIN)/python -m benchmarks.durability
	$(BIN)/python -m benchmarks.journal
	$(BIN)/python -m benchmarks.first_epoch
	$(BIN)/python -m benchmarks.features
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.checkpointing
	$(BIN)/python -m benchmarks.simulation

# Other people's backtesters, in an environment of their own: ktrdr neither needs nor imports them.
bench-peers: $(STAMP)
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet 'backtesting==0.6.5' 'vectorbt==0.28.1' 'plotly<6'
	$(BIN)/python -m benchmarks.simulation --peers .venv-peers/bin/python

# Other people's durable steps, likewise.
bench-durability: $(STAMP)
	test -x .venv-durability/bin/python || $(PYTHON) -m venv .venv-durability
	.venv-durability/bin/python -m pip install --quiet 'langgraph==1.2.24' 'langgraph-checkpoint-sqlite==3.1.2' 'dbos==3.4.0'
	$(BIN)/python -m benchmarks.durability --peers .venv-durability/bin/python

clean:
	rm -rf $(VENV) .venv-peers .venv-durability build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ktrdr needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

$(RAY_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --constraint constraints.txt --editable '.[ray]'
	touch $(RAY_STAMP)
