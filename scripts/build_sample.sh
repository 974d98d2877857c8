#!/bin/sh
# Every model, test and unit test of dbt on generated events, on the engine that the environment names. A second build finds
# the incremental models there and runs what they do then.
set -eu
export FLAGMART_DATA=target/build/${DBT_TARGET:-duckdb} FLAGMART_NOW=2026-02-01T00:00:00Z
export DBT_TARGET_PATH=$FLAGMART_DATA/target DBT_LOG_PATH=$FLAGMART_DATA/logs
vars='{flagmart_further_deliveries: all, flagmart_experiment_tools: all}'
rm -rf "$FLAGMART_DATA"
mkdir -p "$FLAGMART_DATA"
for seed in 1 2; do
    .venv/bin/flagmart generate --events 2000 --seed "$seed" --dirty 0.05 --out "$FLAGMART_DATA/$seed.jsonl"
    # exit 3: some lines are no events, on purpose
    .venv/bin/flagmart ingest files "$FLAGMART_DATA/$seed.jsonl" || [ $? = 3 ]
    .venv/bin/dbt --quiet build --vars "$vars"
done
