#!/bin/sh
# The main job once, on generated events: generate, ingest, build, deliver to two folders and to a stand-in for Segment,
# and say what came of it. A second run finds nothing new to deliver.
set -eu

data=$FLAGMART_DATA
flagmart=.venv/bin/flagmart
# the clock stands, so that every run of the demo gives the same files
export FLAGMART_NOW=2026-02-01T00:00:00Z
mkdir -p "$data"

step() { printf '\n== %s\n' "$*" >&2; }

step "flagmart generate: 50,000 events of 30 days, 5 % of them with a fault"
$flagmart generate --events 50000 --dirty 0.05 --out "$data/featbit-insights.jsonl.gz"

step "flagmart ingest files"
# exit 3: some lines were no events and went to the reject file; the demo's stream has such lines on purpose
$flagmart ingest files "$data/featbit-insights.jsonl.gz" || [ $? = 3 ]

step "dbt build"
.venv/bin/dbt --quiet build

step "flagmart export: Statsig and Hackle to folders, Segment to a stand-in on 127.0.0.1"
rm -f "$data/receiver.out"
.venv/bin/python scripts/demo/receiver.py "$data/segment_received.jsonl" "$data/receiver.port" >"$data/receiver.out" &
receiver=$!
trap 'kill $receiver 2>/dev/null || true' EXIT
while ! [ -s "$data/receiver.out" ]; do
    kill -0 $receiver 2>/dev/null || { echo "demo: the stand-in for Segment did not start" >&2; exit 1; }
    sleep 0.1
done
export SEGMENT_WRITE_KEY=demo SEGMENT_HOST="http://127.0.0.1:$(cat "$data/receiver.port")"
$flagmart export

step "flagmart status"
$flagmart status

cat <<EOT

Everything lies in $data:
  $data/flagmart.duckdb            the tables; dbt's models are described in models/
  $data/exports/                   files for Statsig and Hackle
  $data/segment_received.jsonl     what the stand-in for Segment received
  $data/rejects/                   lines that were no events, with reasons
Look further with  FLAGMART_DATA=$data .venv/bin/flagmart status
and at a page of it with  FLAGMART_DATA=$data .venv/bin/flagmart report --out $data/site  (docs/report.md says what it needs)
EOT
