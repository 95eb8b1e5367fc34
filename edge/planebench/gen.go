package planebench

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package planebench -target bpfel -no-global-types -type plan -type reply bench bpf/bench.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../bpf/include -I../internal/plane/bpf
