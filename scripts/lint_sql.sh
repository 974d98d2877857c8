#!/bin/sh
# dbt parse with warnings as errors, then sqlfluff on what dbt renders. The dbt templater opens the engine's file
# for incremental models, so both work on an empty one of their own. Deliveries that are built on request are linted, too.
set -eu
export DBT_TARGET_PATH=target/lint
mkdir -p "$FLAGMART_DATA" target
.venv/bin/dbt --quiet --warn-error parse
.venv/bin/dbt --quiet --warn-error parse --vars '{flagmart_further_deliveries: all, flagmart_experiment_tools: all}'
.venv/bin/sqlfluff lint --nocolor --disable-progress-bar models tests/singular >target/sqlfluff.txt || {
    cat target/sqlfluff.txt
    exit 1
}
