# Everything a clone can do, one word each; `make help` lists them.
#
# Each target sets up what it needs by itself: a virtual environment in .venv, the
# dependencies of pyproject.toml, and for the tests a browser.  Stamp files make the second
# run fast.  Programs are started as `python -m`, so a clone that was moved still works.

VENV := .venv
PY := $(VENV)/bin/python
UPLOT := loadtest/pages/build/uPlot.iife.min.js
# Which interpreter makes the environment; empty means the first one that is 3.11 or newer.
PYTHON ?=
# What `make run` hands on, for instance ARGS="--gateways 2 --shards 2".
ARGS ?=
# How many seeds `make sim` runs, and from which on.
SEEDS ?= 200
FIRST ?= 0
# What `make loadtest-demo` hands on, for instance DEMO="--users 500".
DEMO ?=
# What `make chaos` hands on, for instance CHAOS="--seed 7 --seconds 60".
CHAOS ?=

# The shell that calls make may stand in another environment: none of it is ours.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONSTARTUP PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
unexport MYPYPATH PYTEST_ADDOPTS

.DEFAULT_GOAL := help
.PHONY: help run test check charts loadtest-demo sim chaos bench bench-cluster bench-loadtest docs clean renew

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.installed ## set everything up, start parvis and print the address to open (ARGS="--gateways 2" is handed on)
	@exec $(PY) -m parvis up $(ARGS)

test: $(VENV)/.installed-dev $(UPLOT) ## set everything up, then every check and every test, a real browser and real stores among them
	@sh tools/debian.sh "the page's test" "chromium chromedriver" "chromium chromium-driver"
	@sh tools/debian.sh "the journal's test on Redis 7.0" redis-server redis-server
	@sh tools/debian.sh "the test of the load test's metrics" promtool prometheus
	@$(MAKE) --no-print-directory check
	$(PY) -m pytest --ignore=tests/house

check: $(VENV)/.installed-dev ## ruff, mypy --strict and the house tests: under a minute
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest tests/house

charts: $(UPLOT) ## fetch uPlot, which draws the charts of load test reports and of the live page

sim: $(VENV)/.installed-dev ## run a simulated cluster under many seeds (SEEDS=200 FIRST=0): tests/sim/README.md
	$(PY) -m tests.sim.replay --seeds $(SEEDS) --first $(FIRST)
	$(PY) -m tests.sim.replay --seeds $(SEEDS) --first $(FIRST) --moving

chaos: $(VENV)/.installed-dev ## break a real cluster for three minutes and prove that nothing was lost (CHAOS="--seed 7"): tests/chaos/README.md
	$(PY) -m tests.chaos.run $(CHAOS)

loadtest-demo: $(VENV)/.installed $(UPLOT) ## an election night with 5,000 people on a cluster of this machine, and a report: docs/loadtest.md
	@$(PY) tools/loadtest_demo.py $(DEMO)

bench: $(VENV)/.installed-dev ## measure this machine and print the figures; exit 1 when one that is asked for is missed
	$(PY) -m bench.run

bench-cluster: $(VENV)/.installed-dev ## measure a cluster: storms, commits through Redis, pauses; exit 1 when a figure is missed
	$(PY) -m bench.cluster

bench-loadtest: $(VENV)/.installed-dev ## measure the load test itself, beside locust, up to 100,000 clients; exit 1 when a figure is missed
	$(PY) -m bench.loadtest

docs: $(VENV)/.installed-dev ## write the tables that documents take from the code
	$(PY) tools/settings_table.py --write

clean: ## remove the environment, caches and build results (never parvis-data)
	rm -rf $(VENV) build loadtest/pages/build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml tools/environment.sh
	@PYTHON="$(PYTHON)" sh tools/environment.sh $(VENV)
	@echo "installing what parvis needs ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml tools/environment.sh
	@PYTHON="$(PYTHON)" sh tools/environment.sh $(VENV)
	@echo "installing what parvis and its tests need ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(UPLOT): tools/uplot.sh
	@sh tools/uplot.sh

# A missing or broken interpreter (its Python was removed, its making was cut short) makes both stamps stale.
ifneq ($(shell $(PY) -m pip --version >/dev/null 2>&1 && echo alive),alive)
$(VENV)/.installed $(VENV)/.installed-dev: renew
endif
