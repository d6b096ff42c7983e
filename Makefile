# Every target does its own set-up in .venv; `make` alone lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON       ?= python3
PORT         ?= 3000
CONSOLE_PORT ?= 3001
DATA         ?= ../shared/data/handbook_raw
EXIT         ?=
ARGS         ?=

BIN   := .venv/bin
READY := .venv/installed

help: ## list the targets
	@echo "riskgate: a fraud decision for a payment before it is authorised"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## small world, training, service on 3000, console on 3001 (EXIT=1 stops after printing)
	$(BIN)/python -m training demo --port $(PORT) --console-port $(CONSOLE_PORT) $(if $(filter-out 0,$(EXIT)),--exit) $(ARGS)

test: $(READY) ## all tests but the slow ones (ARGS="-k name" narrows them)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

check: $(READY) ## ruff, mypy --strict on the three packages, the house rules
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 0 tests/house

handbook: $(READY) ## the main job on real input (DATA=folder of the Handbook's pickles) -> var/handbook.json
	$(BIN)/python -m training handbook --data "$(DATA)" $(ARGS)

bench: $(READY) ## ours beside the usual stitching and an empty endpoint -> var/bench.json, var/bench.md
	$(BIN)/python -m tests.bench --data "$(DATA)" $(ARGS)

overload: $(READY) ## more than can be decided, on a schedule -> var/overload.json, var/overload.md
	$(BIN)/python -m tests.bench.overload $(ARGS)

chaos: $(READY) ## faults under load, a proof after each -> var/chaos.json (ARGS="--runs 20 --only killed")
	$(BIN)/python -m tests.chaos $(ARGS)

cases: $(READY) ## every case of tests/serving/api/cases against the running service, in both profiles
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/serving/api/cases $(ARGS)

proxy: $(READY) ## 20,000 mixed, pipelined and aborted requests through nginx, with the fast path and without
	PROXY_REQUESTS=20000 $(BIN)/python -m pytest -n 0 --timeout 1200 tests/serving/overload/test_proxy.py $(ARGS)

world: $(READY) ## the simulated payment world -> var/world/ (ARGS="--payments 10000000")
	$(BIN)/python -m training simulate $(ARGS)

evaluate-world: $(READY) ## who is caught in the simulated world, story by story -> var/world.html, var/world.json
	$(BIN)/python -m training evaluate-world $(ARGS)

festival: $(READY) ## the night of 11/11 against the service, second by second -> var/festival.html, var/festival.json
	$(BIN)/python -m training festival $(ARGS)

serve: $(READY) ## the current champion alone (PORT=3000)
	$(BIN)/python -m serving run --port $(PORT) $(ARGS)

up: $(READY) ## the production profile: recorder, scoring processes, desk (needs RISKGATE_REDIS_URL, RISKGATE_POSTGRES_URL)
	$(BIN)/python -m serving up $(ARGS)

bento: $(READY) ## the champion as a bento: one folder that `bentoml serve` serves anywhere -> var/bento/
	$(BIN)/python -m training bento $(ARGS)

console: $(READY) ## the review console alone (CONSOLE_PORT=3001)
	$(BIN)/python -m serving console --port $(CONSOLE_PORT) $(ARGS)

lock: $(READY) ## pin every dependency again, with hashes, for all platforms; serving/requirements.txt is its part for the bento
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv
	UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --extra dev pyproject.toml -o constraints.txt
	$(BIN)/python -m tests.house.serving_pins

audit: $(READY) ## known vulnerabilities of every pin, by pip-audit; says so if advisories cannot be reached
	$(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install --quiet "pip-audit>=2.10,<3"
	$(BIN)/python -m tests.house.audit .venv/audit/bin/pip-audit

ways: $(READY) ## contract, bad input and generated requests with and without the fast path, here and in a bento elsewhere
	RISKGATE_TEST_WAYS=all $(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS) tests/serving/api/test_contract.py \
	  tests/serving/api/test_bad_input.py tests/serving/api/test_openapi_properties.py tests/serving/bento/test_bento.py \
	  tests/serving/bento/test_bento_commands.py

clients: $(READY) ## lint the OpenAPI document, and generate, compile and run Python and TypeScript clients (needs Node.js)
	$(PYTHON) -m venv .venv/clients
	.venv/clients/bin/pip install --quiet "openapi-python-client==0.29.1" "openapi-spec-validator==0.9.0" "mypy>=1.10,<2" "ruff>=0.6"
	$(BIN)/python -m tests.clients $(ARGS)

pairs: $(READY) ## an earlier checkout beside this one -> var/pairs-*.json (ARGS="--before ../earlier --profile redis")
	$(BIN)/python -m tests.bench.pairs $(ARGS)

bench-ledger: $(READY) ## time a payment of every command that walks the ledger in PostgreSQL, at 100,000 and 1,000,000
	$(BIN)/python -m tests.bench.ledger_walk $(ARGS)

notebooks: $(READY) ## execute the notebooks again and store what they say
	$(BIN)/python -m tests.notebooks

clean: ## remove what was generated (var, caches), keep the environment
	rm -rf var dist .pytest_cache .mypy_cache .ruff_cache .hypothesis features/feast_store/repo/data
	find features training serving tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environment too
	rm -rf .venv

.PHONY: help demo test check handbook bench overload chaos serve up bento console notebooks lock audit clean distclean
.PHONY: world evaluate-world festival ways pairs proxy bench-ledger clients

# Done once; again when the pins or the package's own declaration change.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "riskgate needs Python 3.11 or newer; this is " \
	  + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "This Python cannot make virtual environments: install python3-venv."; exit 1; }
	@echo "Setting up .venv: about 200 pinned packages, one to three minutes, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $@
