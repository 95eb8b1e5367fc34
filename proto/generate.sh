#!/usr/bin/env bash
# Regenerates every .pb.go from proto/*.proto. Needs protoc (Debian: protobuf-compiler);
# the plugins are built from the versions in go.mod. Run by `make generate`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
go build -o "$bin/protoc-gen-go-vtproto" github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto
PATH=$bin:$PATH protoc -I proto \
  --go_out=. --go_opt=module=github.com/hauberk/hauberk \
  --go-vtproto_out=. --go-vtproto_opt=module=github.com/hauberk/hauberk,features=marshal+unmarshal+size \
  proto/*.proto
