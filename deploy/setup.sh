#!/usr/bin/env bash
# Installs what building, running or testing Hauberk needs on Debian, by apt,
# and only what is missing. Prints one line for each thing it does.
#
#   deploy/setup.sh build   a Go toolchain
#   deploy/setup.sh test    what the tests use besides: browser, protoc, real peers
#   deploy/setup.sh develop what `make generate` uses besides: clang, Node
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

sudo=
if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi

updated=
install() { # install PACKAGE... [-t SUITE]
  if ! command -v apt-get >/dev/null; then
    say "this is not Debian; please install by hand: $*"
    exit 1
  fi
  if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
    say "not root and no sudo; please install as root: apt-get install $*"
    exit 1
  fi
  if [ -z "$updated" ]; then
    say "apt-get update"
    $sudo apt-get update -qq || say "apt-get update reported errors; going on with the lists there are"
    updated=yes
  fi
  say "apt-get install $*"
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need() { # need PROGRAM PACKAGE...
  local program=$1
  shift
  command -v "$program" >/dev/null || install "$@"
}

# Any Go since 1.21 fetches the release that go.mod asks for as a module.
# Debian 12's own is older, so it comes from backports there.
go_minor() { go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p'; }

setup_go() {
  local minor
  minor=$(go_minor || true)
  if [ -n "$minor" ] && [ "$minor" -ge 21 ]; then return; fi
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  if [ "$codename" = bookworm ]; then
    local list=/etc/apt/sources.list.d/hauberk-backports.list
    if ! grep -rqs bookworm-backports /etc/apt/sources.list /etc/apt/sources.list.d; then
      say "adding $list"
      echo "deb http://deb.debian.org/debian bookworm-backports main" | $sudo tee "$list" >/dev/null
    fi
    install -t bookworm-backports golang-go
  else
    install golang-go
  fi
  minor=$(go_minor || true)
  if [ -z "$minor" ] || [ "$minor" -lt 21 ]; then
    say "the Go that apt gave is too old (1.$minor); install Go 1.26 or later from https://go.dev/dl/ and run make again"
    exit 1
  fi
}

what=${1:-build}
need make make
need git git
[ -e /etc/ssl/certs/ca-certificates.crt ] || install ca-certificates
setup_go
if [ "$what" = test ] || [ "$what" = develop ]; then
  need ip iproute2
  need openssl openssl
  need curl curl
  need dig bind9-dnsutils
  need redis-cli redis-tools
  need ssh openssh-client
  need chromium chromium
  need protoc protobuf-compiler
  need shellcheck shellcheck
  need python3 python3
  /sbin/ldconfig -p | grep -q 'libpcre2-8\.so\.0' || install libpcre2-8-0
  need /usr/sbin/apache2 apache2-bin
  need /usr/sbin/nginx nginx-light
  need /usr/sbin/ethtool ethtool
  need /usr/sbin/bird bird2
fi
if [ "$what" = develop ]; then
  need clang clang
  need llvm-strip llvm
  need npm nodejs npm
  [ -e /usr/include/bpf/bpf_helpers.h ] || install libbpf-dev
fi
