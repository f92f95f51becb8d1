# `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help setup demo run test lint services clients torture bench env openapi lock clean
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## make .venv with the locked requirements (PYTHON=... chooses the interpreter)
	@PYTHON='$(PYTHON)' scripts/setup.sh

demo: ## set up, then a gateway with a small real model, an admin user and a key, on http://127.0.0.1:4000
	@PYTHON='$(PYTHON)' scripts/setup.sh demo
	@exec $(BIN)/python scripts/demo.py

run: setup ## the gateway with config/config.yml
	@exec $(BIN)/python manage.py serve --config config/config.yml

test: services ## everything: set-up, servers for the tests, linters, tests
	@PYTHON='$(PYTHON)' scripts/setup.sh demo
	@scripts/clients.sh
	@mkdir -p var; $(BIN)/python scripts/lint.py > var/lint.txt 2>&1 & linting=$$!; status=0; \
	$(BIN)/pytest -n 3 --dist worksteal || status=1; \
	wait $$linting || status=1; cat var/lint.txt; \
	exit $$status

lint: setup ## the linters alone
	@$(BIN)/python scripts/lint.py

services: ## install PostgreSQL, Redis and Chromium for the tests (as root on Debian)
	@scripts/services.sh

clients: setup ## install the clients that the contract tests run: LlamaIndex, Node and its packages
	@scripts/clients.sh

torture: services ## the long tests at full length; numbers go to var/torture/*.json
	@PYTHON='$(PYTHON)' scripts/setup.sh demo
	@scripts/clients.sh agents
	@mkdir -p var/torture
	@$(BIN)/pytest -m torture --timeout 7200 --junitxml var/torture/report.xml

bench: setup ## every benchmark in bench/
	@for module in $(basename $(notdir $(wildcard bench/[a-z]*.py))); do $(BIN)/python -m "bench.$$module" || exit 1; done

env: ## write .env with fresh secrets, keeping the values that it has
	@scripts/env.sh

openapi: setup ## write gateway/openapi.json, the document of what is served
	@$(BIN)/python manage.py spectacular --urlconf gateway.api_urls --format openapi-json --validate --fail-on-warn --file gateway/openapi.json

lock: setup ## pin the newest versions that requirements*.in allow, with hashes
	@$(COMPILE) --upgrade requirements.in -o requirements.txt
	@$(COMPILE) --upgrade requirements-dev.in -o requirements-dev.txt
	@$(COMPILE) --upgrade requirements-clients.in -o requirements-clients.txt
	@$(COMPILE) --upgrade requirements-uv.in -o requirements-uv.txt
	@$(COMPILE) --upgrade --no-deps requirements-demo.in -o requirements-demo.txt

clean: ## remove .venv and caches; your data in var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles
	find . -name __pycache__ -not -path './.git/*' -exec rm -rf {} +
