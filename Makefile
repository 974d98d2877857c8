# Two commands on a fresh machine: `make demo`, then `make test`. Everything lives in .venv; a second make reinstalls nothing.
PYTHON ?= python3
BIN := .venv/bin
# a folder of its own, so that the demo's events never land among yours
DEMO_DATA := $(or $(FLAGMART_DATA),data)/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench soak clickhouse locks zones clean

help: ## what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/installed-dev ## everything the tests need, from the locks
.venv/installed: requirements/run.txt pyproject.toml scripts/make_venv.sh
	@sh scripts/make_venv.sh $(PYTHON)
	@echo "setup: installing what flagmart runs on"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
.venv/installed-dev: .venv/installed requirements/dev.txt scripts/get_chromium.sh
	@echo "setup: installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@sh scripts/get_chromium.sh
	@touch $@

# exported by make and not pasted into the line, so that the folder may have any name
demo: export FLAGMART_DATA := $(DEMO_DATA)
demo: .venv/installed ## generate, ingest, build, deliver; ends with what lies where
	@sh scripts/demo/run.sh

test: setup lint ## lint, then every test
	@$(BIN)/pytest --numprocesses 2 --dist loadfile -m "not soak"

lint: setup ## sqlfluff, ruff, mypy, dbt parse with warnings as errors
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@FLAGMART_DATA=target/lint-data sh scripts/lint_sql.sh

format: setup ## ruff and sqlfluff mend what they can
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format --quiet
	@FLAGMART_DATA=target/lint-data $(BIN)/sqlfluff fix --quiet models tests/singular

bench: setup ## ratios against named rivals, measured in one run
	@$(BIN)/python benchmarks/run.py

soak: setup ## what takes too long for make test
	@$(BIN)/pytest -m soak

clickhouse: setup ## ClickHouse's engine to play with, until Ctrl-C
	@PYTHONPATH=tests $(BIN)/python -m support.clickhouse --folder data/clickhouse

locks: ## write the locks anew from pyproject.toml (needs uv)
	@sh scripts/make_locks.sh

zones: setup ## write the seed of time-zone offsets anew from the pinned tzdata
	@$(BIN)/python -m flagmart.zones seeds/time_zone_offsets.csv

clean: ## remove what make made, but no data
	rm -rf .venv target logs .mypy_cache .ruff_cache
