package plane

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package plane -target bpfel -no-global-types -type layout -type phase -type reason -type slot -type timeout -type session -type tag_set -type affinity_set -type vip -type service -type backend -type hop -type counter -type clock -type setting -type control -type sample -type local_state bpf bpf/balance.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../../bpf/include
