package main

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hauberk/hauberk/suricata/multi"
)

//go:embed peer/peer.c
var peerSource []byte

// peer is Hyperscan in a process of its own.
type peer struct {
	in    io.WriteCloser
	out   *bufio.Reader
	cmd   *exec.Cmd
	build float64 // seconds of CPU
	size  float64 // bytes
	info  string
}

// newPeer compiles peer/peer.c with the machine's cc and libhs.
func newPeer(folder string, patterns []multi.Pattern, packets [][]byte) (*peer, error) {
	source, program := filepath.Join(folder, "peer.c"), filepath.Join(folder, "peer")
	if err := os.WriteFile(source, peerSource, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.Command("cc", "-O2", "-o", program, source, "-lhs").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the peer (needs cc and libhyperscan-dev): %w\n%s", err, out)
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(patterns)))
	for _, p := range patterns {
		fold := uint32(0)
		if p.Fold {
			fold = 1
		}
		b = binary.LittleEndian.AppendUint32(b, fold)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Text)))
		b = append(b, p.Text...)
	}
	patternFile := filepath.Join(folder, "patterns")
	if err := os.WriteFile(patternFile, b, 0o600); err != nil {
		return nil, err
	}
	b = binary.LittleEndian.AppendUint32(nil, uint32(len(packets)))
	for _, p := range packets {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	packetFile := filepath.Join(folder, "packets")
	if err := os.WriteFile(packetFile, b, 0o600); err != nil {
		return nil, err
	}
	p := &peer{cmd: exec.Command(program, patternFile, packetFile)}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 1<<20)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("start the peer: %w", err)
	}
	_, err = fmt.Sscanf(line, "%f %f", &p.build, &p.size)
	p.info = line
	return p, err
}

func (p *peer) close() error {
	p.in.Close()
	return p.cmd.Wait()
}

// round returns the CPU seconds and matches of one pass over the packets.
func (p *peer) round() (seconds float64, matches int, err error) {
	if _, err = p.in.Write([]byte("r")); err != nil {
		return 0, 0, err
	}
	_, err = fmt.Fscan(p.out, &seconds, &matches)
	return seconds, matches, err
}

// sums returns, per packet, how many patterns match and the sum of their
// mixed numbers.
func (p *peer) sums(packets int) (out [][2]uint32, err error) {
	if _, err = p.in.Write([]byte("v")); err != nil {
		return nil, err
	}
	out = make([][2]uint32, packets)
	for i := range out {
		if _, err = fmt.Fscan(p.out, &out[i][0], &out[i][1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
