#!/usr/bin/env bash
# Prints the GOTOOLCHAIN to build with: empty where the installed Go is new
# enough for go.mod, else the release to fetch from the Go module proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
want=$(sed -n 's/^go 1\.\([0-9]*\).*/\1/p' go.mod)
have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ -n "$have" ] && [ "$have" -lt "$want" ]; then
  echo go1.27.3
fi
