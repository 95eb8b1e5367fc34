package ebpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package ebpf -target bpfel -no-global-types -tags linux -type record_type -type record_flag -type slot -type ring -type armed -type socket_direction -type control -type account -type record -type who -type ids -type exec_record -type fork_record -type exit_record -type socket_record -type denied_record -type cgroup_record program bpf/collect.bpf.c -- -O2 -mcpu=v2 -Wall -Werror -I../../../../bpf/include
