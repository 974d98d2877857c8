# Two commands on a fresh machine: `make demo`, then `make test`. Everything lives in .venv; a second make reinstalls nothing.
PYTHON ?= python3
BIN := .venv/bin
# a folder of its own, so that the demo's events never land among yours
DEMO_DATA := $(or $(FLAGMART_DATA),data)/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test pytest lint lint-clickhouse build build-clickhouse format pr-report bench soak
.PHONY: clickhouse locks newest zones clean

help: ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: .venv/installed-dev .venv/conventions/installed ## everything the tests need, from the locks
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
# an environment of its own: dbt-bouncer wants another DuckDB
.venv/conventions/installed: requirements/conventions.txt .venv/installed
	@echo "setup: installing dbt-bouncer"
	@$(BIN)/python -m venv .venv/conventions
	@.venv/conventions/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# exported by make and not pasted into the line, so that the folder may have any name
demo: export FLAGMART_DATA := $(DEMO_DATA)
demo: .venv/installed ## generate, ingest, build, deliver; ends with what lies where
	@sh scripts/demo/run.sh

test: lint pytest ## lint, then every test

pytest: setup ## every test
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not soak"

lint: setup ## sqlfluff, ruff, mypy, dbt parse with warnings as errors, dbt-bouncer
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@FLAGMART_DATA=target/lint-data sh scripts/lint_sql.sh

lint-clickhouse: setup ## sqlfluff on what dbt compiles for ClickHouse
	@rm -rf target/lint-clickhouse; mkdir -p target/lint-clickhouse
	@PYTHONPATH=tests $(BIN)/python -m support.on_clickhouse \
		$(BIN)/python -m support.clickhouse_sql target/lint-clickhouse

build: setup ## every model, test and unit test of dbt on generated events, on DuckDB
	@sh scripts/build_sample.sh

build-clickhouse: setup ## the same on ClickHouse's engine
	@PYTHONPATH=tests $(BIN)/python -m support.on_clickhouse sh scripts/build_sample.sh

format: setup ## ruff and sqlfluff mend what they can
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format --quiet
	@FLAGMART_DATA=target/lint-data $(BIN)/sqlfluff fix --quiet models tests/singular

pr-report: setup ## the deliveries, rows and lines that the working tree changes, against main
	@PYTHONPATH=scripts $(BIN)/python -m pr_report

bench: setup ## ratios against named rivals, measured in one run
	@$(BIN)/python benchmarks/run.py

soak: setup ## what takes too long for make test
	@$(BIN)/pytest -m soak

clickhouse: setup ## ClickHouse's engine to play with, until Ctrl-C
	@PYTHONPATH=tests $(BIN)/python -m support.clickhouse --folder data/clickhouse

locks: ## write the locks anew from pyproject.toml (needs uv)
	@sh scripts/make_locks.sh

newest: setup ## the newest releases that pyproject.toml allows in place of the locks' (make clean goes back)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --no-build-isolation \
		--group build --group dev --editable .

zones: setup ## write the seed of time-zone offsets anew from the pinned tzdata
	@$(BIN)/python -m flagmart.zones seeds/time_zone_offsets.csv

clean: ## remove what make made, but no data
	rm -rf .venv target logs .mypy_cache .ruff_cache
