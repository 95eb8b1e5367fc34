package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hauberk/hauberk/edge/wire"
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/pcap"
)

// dropsCommand counts drops, or shows each as it happens.
func (e *edgeSession) dropsCommand() *cobra.Command {
	var follow bool
	var vip string
	var limit int
	c := e.watched("drops", "Count the packets that were dropped, by reason, or show each (--follow)", e.drops)
	count := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !follow {
			return count(c, args)
		}
		ctx, stop := interruptible(c)
		defer stop()
		p := e.printer(c)
		return e.packets(ctx, url.Values{"vip": {vip}}, limit, func(s *wire.Packet) error {
			if e.json {
				return p.jsonValue(s)
			}
			_, err := fmt.Fprintln(p.out, line(s))
			return err
		})
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "show each packet, until Ctrl-C")
	c.Flags().StringVar(&vip, "vip", "", "with --follow: only those for the VIP of that name")
	c.Flags().IntVar(&limit, "count", 0, "with --follow: end after that many; 0: never")
	return c
}

// capture writes packets as the data plane sees them, which tcpdump cannot.
func (e *edgeSession) capture() *cobra.Command {
	var vip, file string
	var drops bool
	var limit int
	c := &cobra.Command{
		Use: "capture", Short: "Show packets as the data plane sees them, or write them to a pcap file", Args: cobra.NoArgs,
		Example: `  hauberk edge capture --vip web --count 20
  hauberk edge capture -w - | tshark -r -`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c)
			defer stop()
			query := url.Values{"vip": {vip}}
			if !drops {
				query.Set("all", "1")
			}
			p := e.printer(c)
			if file == "" {
				return e.packets(ctx, query, limit, func(s *wire.Packet) error {
					if e.json {
						return p.jsonValue(s)
					}
					_, err := fmt.Fprintln(p.out, line(s))
					return err
				})
			}
			return e.writeCapture(ctx, query, limit, file, p.out)
		},
	}
	c.Flags().StringVar(&vip, "vip", "", "only packets for the VIP of that name")
	c.Flags().StringVarP(&file, "write", "w", "", "pcap file to write; - is standard output")
	c.Flags().BoolVar(&drops, "drops", false, "only what was dropped")
	c.Flags().IntVar(&limit, "count", 0, "end after that many; 0: at Ctrl-C")
	return c
}

func (e *edgeSession) writeCapture(ctx context.Context, query url.Values, limit int, file string, out io.Writer) (err error) {
	if file == "-" {
		if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return errors.New("a terminal cannot show a pcap file; without -w packets are shown as text")
		}
	} else {
		f, openErr := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	buffered := bufio.NewWriter(out)
	defer func() { err = errors.Join(err, buffered.Flush()) }()
	w, err := pcap.NewWriter(buffered, packet.LinkEthernet, maxSnap, pcap.Format{Nanoseconds: true})
	if err != nil {
		return err
	}
	return e.packets(ctx, query, limit, func(s *wire.Packet) error {
		err := w.Write(&pcap.Packet{Time: s.Time.UnixNano(), Data: s.Data, Length: s.Length, Link: packet.LinkEthernet})
		return errors.Join(err, buffered.Flush())
	})
}

// maxSnap is what the head of a capture says of the longest packet in it.
const maxSnap = 65535

// packets calls f with each packet, until Ctrl-C or the limit.
func (e *edgeSession) packets(ctx context.Context, query url.Values, limit int, f func(*wire.Packet) error) error {
	stream, err := e.open(ctx, "GET", "/packets?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer stream.Close()
	read := json.NewDecoder(stream)
	for n := 0; limit == 0 || n < limit; n++ {
		var s wire.Packet
		if err := read.Decode(&s); err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("answer of the edge: %w", err)
		}
		if err := f(&s); err != nil {
			return err
		}
	}
	return nil
}

// line is a packet for people.
func line(s *wire.Packet) string {
	return fmt.Sprintf("%s %-8s %-16s %-12s %s, %d bytes", s.Time.Local().Format("15:04:05.000000"), clean(s.Interface), clean(s.Reason), clean(s.VIP), summary(s.Data), s.Length)
}
