package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// entry is one line of an export: a key below the prefix, and its value.
type entry struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

const (
	// exportPage is how many keys one request reads.
	exportPage = 1000
	// importTxn and importBytes bound one transaction: etcd's default limits
	// are 128 operations and 1.5 MiB.
	importTxn   = 128
	importBytes = 1 << 20
	// maxEntry bounds a line of an export, in bytes: etcd's limit of a value,
	// in base64.
	maxEntry = 4 << 20
)

// Export writes everything the control plane keeps, one JSON object per line,
// as of one moment: authority, tokens, enrolments, configuration, modes,
// exceptions. What hangs on a lease (gateways, running commands) is left out:
// it would not be true later. Secrets in it stay sealed by the sealing key.
func (a *Admin) Export(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	options := []clientv3.OpOption{clientv3.WithLimit(exportPage), clientv3.WithFromKey()}
	for from := "\x00"; ; {
		page, err := a.client.Get(ctx, from, options...)
		if err != nil {
			return fmt.Errorf("export control plane: %w", err)
		}
		for _, kv := range page.Kvs {
			if kv.Lease != 0 {
				continue
			}
			if err := lines.Encode(entry{kv.Key, kv.Value}); err != nil {
				return fmt.Errorf("export control plane: %w", err)
			}
		}
		if !page.More {
			return out.Flush()
		}
		if len(options) == 2 { // later pages are of the first one's revision
			options = append(options, clientv3.WithRev(page.Header.Revision))
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// Import puts an export in the place of everything the control plane keeps
// without a lease. Every process of the centre must be started again to work
// by it. The export is read whole before anything changes.
func (a *Admin) Import(ctx context.Context, r io.Reader) error {
	var entries []entry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEntry)
	for n := 1; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || len(e.Key) == 0 {
			return fmt.Errorf("%w: line %d of the control plane's export is not an entry", ErrInvalid, n)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the control plane's export: %w", err)
	}
	if len(entries) == 0 {
		return fmt.Errorf("%w: the control plane's export is empty", ErrInvalid)
	}
	kept := map[string]bool{}
	for _, e := range entries {
		kept[string(e.Key)] = true
	}
	ops, size := make([]clientv3.Op, 0, importTxn), 0
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		_, err := a.client.Txn(ctx).Then(ops...).Commit()
		ops, size = ops[:0], 0
		return err
	}
	add := func(op clientv3.Op) (err error) {
		n := len(op.KeyBytes()) + len(op.ValueBytes())
		if len(ops) == importTxn || size+n > importBytes {
			err = flush()
		}
		ops, size = append(ops, op), size+n
		return err
	}
	for _, e := range entries {
		if err := add(clientv3.OpPut(string(e.Key), string(e.Value))); err != nil {
			return fmt.Errorf("import control plane: %w", err)
		}
	}
	now, err := a.client.Get(ctx, "\x00", clientv3.WithFromKey())
	if err != nil {
		return fmt.Errorf("import control plane: %w", err)
	}
	for _, kv := range now.Kvs {
		if kv.Lease == 0 && !kept[string(kv.Key)] {
			err = errors.Join(err, add(clientv3.OpDelete(string(kv.Key))))
		}
	}
	if err := errors.Join(err, flush()); err != nil {
		return fmt.Errorf("import control plane: %w", err)
	}
	return nil
}
