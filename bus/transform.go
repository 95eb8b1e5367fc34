package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hauberk/hauberk/internal/run"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Transform consumes as group g, gives what arrives to f and publishes what f
// returns, exactly once: the messages out and the commit of the messages in
// are one transaction, which readers see whole or not at all. g.Mode is
// ignored; g.Instance is required, it names the transaction's producer and
// fences a predecessor that still runs. f may be called again with messages
// of a transaction that was aborted, so its only effect is what it returns.
// It ends as Consume does.
func (c *Client) Transform(ctx context.Context, g Group, f func(context.Context, []Message) ([]Message, error)) error {
	g.Mode = AtLeastOnce
	if err := g.validate(); err != nil {
		return err
	}
	if g.Instance == "" {
		return errors.New("transform: group instance: must not be empty")
	}
	if c.config.AtMostOnce {
		return errors.New("transform: at_most_once: a transaction needs an idempotent publisher")
	}
	if err := c.register(ctx, g); err != nil {
		return ended(ctx, fmt.Errorf("register group %s: %w", g.Name, classify(err)))
	}
	opts := append([]kgo.Opt{kgo.TransactionalID(g.Name + "/" + g.Instance)}, c.publishOptions()...)
	session, err := kgo.NewGroupTransactSession(append(opts, c.groupOptions(g)...)...)
	if err != nil {
		return fmt.Errorf("join group %s: %w", g.Name, err)
	}
	defer session.CloseAllowingRebalance()
	for {
		messages, err := c.poll(ctx, session.PollRecords, g.MaxBatch, g.Name, 0)
		if err != nil {
			return ended(ctx, fmt.Errorf("transform as group %s: %w", g.Name, err))
		}
		if len(messages) > 0 {
			if err := c.transact(ctx, session, g, messages, f); err != nil {
				return ended(ctx, err)
			}
		}
		session.AllowRebalance()
	}
}

// transact runs one transaction. An abort is counted, not returned: the
// session has gone back to the last commit and the messages come again.
func (c *Client) transact(ctx context.Context, session *kgo.GroupTransactSession, g Group, messages []Message, f func(context.Context, []Message) ([]Message, error)) error {
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction of group %s: %w", g.Name, classify(err))
	}
	var out []Message
	failure := run.Protect(func() (err error) {
		out, err = f(ctx, messages)
		return err
	})
	if failure != nil {
		c.count.handleFailed.Inc()
		failure = fmt.Errorf("transform messages of group %s: %w", g.Name, failure)
	}
	// What f has decided is published and the transaction ended even when ctx
	// just ended, or the broker would wait for its time-out.
	endCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if failure == nil {
		failure = c.publishIn(endCtx, session, out)
	}
	committed, err := session.End(endCtx, kgo.TransactionEndTry(failure == nil))
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return fmt.Errorf("end transaction of group %s: %w", g.Name, classify(err))
	case !committed:
		c.count.aborted.Inc()
	}
	return nil
}

// publishIn publishes inside the session's transaction and waits, until ctx
// ends: then it gives up what is buffered, and the transaction must abort.
func (c *Client) publishIn(ctx context.Context, session *kgo.GroupTransactSession, out []Message) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	wg.Add(len(out))
	for _, m := range out {
		session.Produce(ctx, &kgo.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Timestamp: m.Time}, func(r *kgo.Record, err error) {
			if err := c.account(r, err); err != nil {
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
			wg.Done()
		})
	}
	abandon := context.AfterFunc(ctx, func() {
		if err := session.Client().AbortBufferedRecords(context.Background()); err != nil {
			c.log.Warn("bus transaction keeps buffered messages", "err", err)
		}
	})
	defer abandon()
	wg.Wait()
	return first
}
