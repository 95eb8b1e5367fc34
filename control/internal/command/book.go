package command

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// Order is a command or mode as a gateway sends it.
type Order struct {
	ID       string // of a command
	Epoch    uint64 // of a mode
	Encoded  link.Encoded
	tenant   string
	selector fleet.Selector
	from, to int64 // Unix ns
}

// For reports whether the order is for that node.
func (o *Order) For(n *fleet.Subject) bool {
	return (o.tenant == "" || o.tenant == n.Tenant) && o.selector.Match(n)
}

// Book is the commands and modes in etcd as of one moment. It is not safe for
// concurrent use, and knows no clock.
type Book struct {
	keys     fleet.Keys
	commands map[string]*Order // by key
	modes    []*Order          // by epoch, highest first
	waiting  map[string]*Order // commands whose time has not come
}

// NewBook returns an empty book that believes what one of the keys signed.
func NewBook(keys fleet.Keys) *Book {
	b := &Book{keys: keys}
	b.Clear()
	return b
}

// Clear forgets everything, before it is read again.
func (b *Book) Clear() {
	b.commands, b.waiting, b.modes = map[string]*Order{}, map[string]*Order{}, nil
}

// Apply notes a change of a key. It returns the order if it is new: a command
// for Due to hand out, or a mode to send now.
func (b *Book) Apply(i etcd.Item) (mode *Order, err error) {
	switch {
	case strings.HasPrefix(i.Key, keyspace.Commands):
		delete(b.commands, i.Key)
		delete(b.waiting, i.Key)
		if i.Value == nil {
			return nil, nil
		}
		o, err := b.readCommand(i.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.Key, err)
		}
		b.commands[i.Key], b.waiting[i.Key] = o, o
		return nil, nil
	case strings.HasPrefix(i.Key, keyspace.Modes):
		if i.Value == nil {
			b.modes = drop(b.modes, i.Key)
			return nil, nil
		}
		o, err := b.readMode(i.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.Key, err)
		}
		b.modes = append(drop(b.modes, i.Key), o)
		sort.Slice(b.modes, func(i, j int) bool { return b.modes[i].Epoch > b.modes[j].Epoch })
		return o, nil
	}
	return nil, nil
}

func drop(modes []*Order, key string) []*Order {
	out := modes[:0]
	for _, o := range modes {
		if keyspace.Mode(o.Epoch) != key {
			out = append(out, o)
		}
	}
	return out
}

func (b *Book) readCommand(value []byte) (*Order, error) {
	signed := &fleet.SignedCommand{}
	if err := signed.UnmarshalVT(value); err != nil {
		return nil, err
	}
	c, err := b.keys.OpenCommand(signed)
	if err != nil {
		return nil, err
	}
	o := &Order{ID: c.Id, tenant: c.Tenant, from: c.NotBefore, to: c.Expires}
	if o.selector, err = fleet.ParseSelector(c.Selector); err != nil {
		return nil, err
	}
	o.Encoded, err = link.EncodeCommand(signed)
	return o, err
}

func (b *Book) readMode(value []byte) (*Order, error) {
	signed := &fleet.SignedMode{}
	if err := signed.UnmarshalVT(value); err != nil {
		return nil, err
	}
	m, err := b.keys.OpenMode(signed)
	if err != nil {
		return nil, err
	}
	o := &Order{Epoch: m.Epoch, tenant: m.Tenant}
	if o.selector, err = fleet.ParseSelector(m.Selector); err != nil {
		return nil, err
	}
	o.Encoded, err = link.EncodeMode(signed)
	return o, err
}

// Due returns the commands whose time has come since it was last asked, and
// forgets those that expired.
func (b *Book) Due(now time.Time) []*Order {
	var out []*Order
	at := now.UnixNano()
	for key, o := range b.waiting {
		if at >= o.from {
			delete(b.waiting, key)
			if at < o.to {
				out = append(out, o)
			}
		}
	}
	for key, o := range b.commands {
		if at >= o.to {
			delete(b.commands, key)
		}
	}
	return out
}

// Running returns the commands that a node gets when it connects now.
func (b *Book) Running(now time.Time, n *fleet.Subject) []*Order {
	var out []*Order
	at := now.UnixNano()
	for key, o := range b.commands {
		if b.waiting[key] == nil && at >= o.from && at < o.to && o.For(n) {
			out = append(out, o)
		}
	}
	return out
}

// Mode returns the mode for a node: the one of the highest epoch that selects
// it; nil if none does.
func (b *Book) Mode(n *fleet.Subject) *Order {
	for _, o := range b.modes {
		if o.For(n) {
			return o
		}
	}
	return nil
}
