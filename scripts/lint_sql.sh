#!/bin/sh
# dbt parse with warnings as errors, then sqlfluff on what dbt renders. The dbt templater opens the engine's file
# for incremental models, so both work on an empty one of their own.
set -eu
export DBT_TARGET_PATH=target/lint
mkdir -p "$FLAGMART_DATA" target
.venv/bin/dbt --quiet --warn-error parse
.venv/bin/sqlfluff lint --nocolor --disable-progress-bar models tests/singular >target/sqlfluff.txt || {
    cat target/sqlfluff.txt
    exit 1
}
