package edge

import (
	"io"

	"github.com/hauberk/hauberk/edge/internal/importer"
)

// Import reads `ipvsadm -S -n` output or keepalived.conf and returns the vips
// of an edge.yaml, and a line for each thing without a counterpart.
func Import(r io.Reader) (text []byte, notes []string, err error) {
	text, without, err := importer.Read(r)
	for _, n := range without {
		notes = append(notes, n.String())
	}
	return text, notes, err
}
