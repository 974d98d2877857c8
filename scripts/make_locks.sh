#!/bin/sh
# Writes requirements/dev.txt and, with the same versions, requirements/run.txt, and requirements/conventions.txt: names, versions, hashes, no address.
set -eu

compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
        --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make locks" \
        "$@"
}
compile pyproject.toml --group build --group dev --output-file requirements/dev.txt
compile pyproject.toml --group build --constraints requirements/dev.txt --output-file requirements/run.txt
compile --group conventions --output-file requirements/conventions.txt
