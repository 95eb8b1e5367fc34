#!/usr/bin/env bash
# Rebuilds the console's dist from its sources, and notes from which
# (sources.sum, which a Go test compares without npm). With --check it fails if
# that changes dist: what is committed is what the sources say.
set -euo pipefail
cd "$(dirname "$0")"
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
[ ! -d dist ] || cp -R dist "$before/"
npm ci --no-audit --no-fund --silent
npm run --silent build
if [ "${1:-}" = --check ]; then
  diff -r "$before/dist" dist || { echo "console/dist is not what its sources build; commit the new one" >&2; exit 1; }
fi
find index.html package.json package-lock.json tsconfig.json vite.config.js public src -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >sources.sum
