#!/bin/sh
# Sees that there is a browser for the tests of the report, or says what is missing and how to get it.
set -eu

if [ -n "${FLAGMART_CHROMIUM:-}" ]; then
    [ -x "$FLAGMART_CHROMIUM" ] && exit 0
    echo "setup: FLAGMART_CHROMIUM=$FLAGMART_CHROMIUM is no program" >&2
    exit 1
fi
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing chromium"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium >/dev/null
else
    echo "setup: the tests of the report need Chromium; install it (Debian: apt-get install chromium; Ubuntu, Fedora, macOS:" \
        "Chromium or Chrome in any way), or name one that is there: make FLAGMART_CHROMIUM=/path/to/chrome …" >&2
    exit 1
fi
