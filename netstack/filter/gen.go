package filter

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package filter -target bpfel -no-global-types -tags linux -type rule -type counter -type prefix -type service program bpf/ours.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../bpf/include
