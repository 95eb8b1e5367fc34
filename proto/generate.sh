#!/usr/bin/env bash
# Regenerates every .pb.go from proto/*.proto, and the field table from the comments of event.proto. Needs protoc (Debian:
# protobuf-compiler); the plugins are built from the versions in go.mod. Run by `make generate`.
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
# Batches are read on the hot path of detect and store: there the messages may borrow from the bytes they are read from.
PATH=$bin:$PATH protoc -I proto \
  --go-vtproto_out=. --go-vtproto_opt=module=github.com/hauberk/hauberk,features=marshal+unmarshal+unmarshal_unsafe+size \
  proto/event.proto
protoc -I proto --include_source_info --descriptor_set_out="$bin/event.set" proto/event.proto
go run ./tools/fieldgen "$bin/event.set"
