#!/bin/sh
# dbt parse with warnings as errors, the conventions of dbt-bouncer.yml, then sqlfluff on what dbt renders. The dbt templater
# opens the engine's file for incremental models, so all work on an empty one of their own. Deliveries that are built on
# request are linted, too.
set -eu
export DBT_TARGET_PATH=target/lint
mkdir -p "$FLAGMART_DATA" target
.venv/bin/dbt --quiet --warn-error parse
.venv/bin/dbt --quiet --warn-error parse --vars '{flagmart_further_deliveries: all, flagmart_experiment_tools: all}'
.venv/conventions/bin/dbt-bouncer run >target/dbt-bouncer.txt 2>&1 || {
    cat target/dbt-bouncer.txt
    exit 1
}
# on the lines of a pull request, where GitHub runs this
format=${GITHUB_ACTIONS:+github-annotation-native}
# its processes end without a word, and Python's warning of that is no fault of the SQL
PYTHONWARNINGS=ignore:resource_tracker:UserWarning .venv/bin/sqlfluff lint --processes 0 --format "${format:-human}" \
    --annotation-level failure --nocolor --disable-progress-bar \
    models tests/singular >target/sqlfluff.txt || {
    cat target/sqlfluff.txt
    exit 1
}
