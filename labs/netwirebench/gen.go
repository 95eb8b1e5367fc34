package main

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package main -target bpfel -no-global-types -tags linux client bpf/loop.bpf.c -- -O2 -mcpu=v2 -Wall -Werror -Wno-address-of-packed-member -I../../bpf/include
