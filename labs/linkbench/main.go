// Command linkbench measures the link alone, without what a gateway does behind it:
// memory of an idle mutually authenticated connection on the gateway's side,
// CPU of a command and its acknowledgement there, and bytes of an exec event
// on the wire.
//
//	go run ./labs/linkbench -nodes 10000
//
// It plays the nodes itself and starts the gateway as a child process, so
// that each side has its own memory, CPU and file descriptors. The floor is
// the same child holding bare TLS connections, one goroutine each.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/frame"
	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func main() {
	nodes := flag.Int("nodes", 10000, "connections; at most 19,000 with 20,000 file descriptors")
	rounds := flag.Int("rounds", 5, "commands sent to every node")
	dir := flag.String("out", "docs/perf", "where the figures go")
	gateway := flag.String("gateway", "", "internal: be the gateway (link or bare)")
	certificate := flag.String("certificate", "", "internal: file with the gateway's certificate")
	flag.Parse()
	run := func() error { return bench(*nodes, *rounds, *dir) }
	if *gateway != "" {
		run = func() error { return serve(*gateway, *certificate) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "linkbench:", err)
		os.Exit(1)
	}
}

func bench(nodes, rounds int, dir string) error {
	command := fmt.Sprintf("go run ./labs/linkbench -nodes %d", nodes)
	report := perf.Report{Area: "link", Command: command}
	floor, err := connections("bare", nodes, 0)
	if err != nil {
		return err
	}
	got, err := connections("link", nodes, rounds)
	if err != nil {
		return err
	}
	report.Add(perf.Figure{
		Name: "gateway's memory per idle mTLS connection", Value: got.kb, Unit: "KB", Peer: "bare TLS, one goroutine", PeerValue: floor.kb,
		Target: "20 KB", Reached: got.kb <= 20, Note: fmt.Sprintf("%d connections, anonymous resident memory", nodes),
	})
	report.Add(perf.Figure{
		Name: "gateway's CPU per command and acknowledgement", Value: got.micros, Unit: "us",
		Target: "30 us", Reached: got.micros <= 30, Note: fmt.Sprintf("median of %d rounds to %d nodes", rounds, nodes),
	})
	report.Add(perf.Figure{
		Name: "one command to all nodes, last acknowledgement", Value: got.seconds, Unit: "s", Target: "1.5 s", Reached: got.seconds <= 1.5,
		Note: fmt.Sprintf("%d nodes played on the same cores", nodes),
	})
	report.Add(perf.Figure{
		Name: "gateway's CPU per mutual handshake", Value: got.handshake, Unit: "us", Peer: "bare TLS", PeerValue: floor.handshake, Target: "none", Reached: true,
	})
	if err := wire(&report); err != nil {
		return err
	}
	return report.Write(os.Stdout, dir)
}

// result is what a run with one kind of gateway gave.
type result struct {
	kb, handshake, micros, seconds float64
}

func connections(kind string, nodes, rounds int) (result, error) {
	authority, err := linktest.MakeAuthority()
	if err != nil {
		return result{}, err
	}
	g, err := startGateway(kind, authority)
	if err != nil {
		return result{}, err
	}
	defer g.end()
	before, err := g.ask("measure")
	if err != nil {
		return result{}, err
	}
	crowd, err := connect(kind, g.address, authority, nodes)
	if err != nil {
		return result{}, err
	}
	defer crowd.close()
	after, err := g.ask("measure")
	if err != nil {
		return result{}, err
	}
	out := result{
		kb:        (after.AnonKB - before.AnonKB) / float64(nodes),
		handshake: (after.CPU - before.CPU) * 1e6 / float64(nodes),
	}
	var micros, seconds []float64
	for range rounds {
		r, err := g.ask("fanout")
		if err != nil {
			return result{}, err
		}
		micros = append(micros, r.CPU*1e6/float64(nodes))
		seconds = append(seconds, r.Seconds)
	}
	out.micros, out.seconds = perf.Median(micros), perf.Median(seconds)
	return out, nil
}

// child is a gateway process: a command per line in, a measure per line out.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	address string
	file    string
}

func startGateway(kind string, authority *linktest.Authority) (*child, error) {
	file, err := writeCertificate(authority)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, "-gateway", kind, "-certificate", file), file: file}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(bufio.NewReader(out))
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	var hello measure
	if err := c.out.Decode(&hello); err != nil {
		return nil, fmt.Errorf("gateway process: %w", err)
	}
	c.address = hello.Address
	return c, nil
}

func (c *child) ask(what string) (measure, error) {
	var m measure
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		return m, err
	}
	err := c.out.Decode(&m)
	return m, err
}

func (c *child) end() {
	c.in.Close()
	c.cmd.Wait()
	os.Remove(c.file)
}

// crowd is all nodes.
type crowd struct{ conns []*tls.Conn }

func (c *crowd) close() {
	for _, conn := range c.conns {
		conn.NetConn().Close()
	}
}

// connectors is how many handshakes run at once: a storm's worth, without
// running into timeouts on two cores.
const connectors = 16

func connect(kind, address string, authority *linktest.Authority, nodes int) (*crowd, error) {
	all := &crowd{conns: make([]*tls.Conn, nodes)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	errs := make(chan error, connectors)
	for w := range connectors {
		wg.Go(func() {
			for i := w; i < nodes; i += connectors {
				conn, err := connectOne(kind, address, authority, key)
				if err != nil {
					errs <- err
					return
				}
				all.conns[i] = conn
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
		return all, nil
	}
}

func connectOne(kind, address string, authority *linktest.Authority, key *ecdsa.PrivateKey) (*tls.Conn, error) {
	id := link.Identity{Domain: linktest.Domain, Tenant: "acme", Node: event.NewNodeID()}
	chain, err := authority.Issue(id, key.Public(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{link.ALPN},
		Certificates: []tls.Certificate{{Certificate: chain[:1], PrivateKey: key}},
	})
	if err != nil {
		return nil, err
	}
	if kind == "bare" {
		var one [1]byte // the gateway says that it is ready
		_, err := io.ReadFull(conn, one[:])
		return conn, err
	}
	hello, err := link.Encode(linktest.HelloFrame())
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	if _, err := frame.Read(conn, nil, link.MaxFrame); err != nil {
		return nil, err
	}
	go answer(conn)
	return conn, nil
}

// answer acknowledges every command.
func answer(conn *tls.Conn) {
	var buf []byte
	for {
		body, err := frame.Read(conn, buf, link.MaxFrame)
		if err != nil {
			return
		}
		buf = body
		f, err := link.Decode(body)
		if err != nil {
			return
		}
		if f.GetCommand() == nil {
			continue
		}
		out, err := link.Encode(&link.Frame{Body: &link.Frame_Result{Result: &fleet.CommandResult{
			Command: "0123456789abcdef0123456789abcdef", State: fleet.CommandState_COMMAND_STATE_DONE, Time: 1_790_000_000_000_000_000,
		}}})
		if err != nil {
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// wireBatch is the events of one batch: what a busy host makes in the 100 ms
// between two reads of its ring.
const wireBatch = 200

// wire measures exec events of hosts the dictionary was not trained on.
func wire(report *perf.Report) error {
	const records = 22 // bytes of TLS per record
	var with, without []float64
	var cpu []float64
	for seed := range uint64(20) {
		h := linktest.NewHost(5000 + seed)
		for _, dictionary := range []uint32{link.Dictionary, 0} {
			c, err := link.NewCompressor(dictionary)
			if err != nil {
				return err
			}
			for range 5 {
				b := h.Batch(wireBatch)
				raw, err := b.MarshalVT()
				if err != nil {
					return err
				}
				began := time.Now()
				payload, encoding := c.Compress(raw)
				took := time.Since(began)
				e, err := link.Encode(&link.Frame{Body: &link.Frame_Batch{Batch: &link.Batch{
					Class: b.Class, Incarnation: 1, FirstSequence: b.FirstSequence, LastSequence: b.LastSequence(),
					Events: uint32(len(b.Events)), Encoding: encoding, Size: uint32(len(raw)), Payload: payload,
				}}})
				if err != nil {
					return err
				}
				per := float64(len(e)+records*(1+len(e)/16384)) / float64(len(b.Events))
				if dictionary == 0 {
					without = append(without, per)
				} else {
					with = append(with, per)
					cpu = append(cpu, float64(took.Nanoseconds())/1000/float64(len(b.Events)))
				}
			}
			c.Close()
		}
	}
	report.Add(perf.Figure{
		Name: "one exec event on the wire, batched", Value: perf.Median(with), Unit: "B", Peer: "no dictionary", PeerValue: perf.Median(without),
		Target: "30 B", Reached: perf.Median(with) <= 30, Note: fmt.Sprintf("batches of %d, all fields, parent chain and hashes, TLS included", wireBatch),
	})
	report.Add(perf.Figure{
		Name: "node's CPU to compress an exec event", Value: perf.Median(cpu), Unit: "us", Target: "none", Reached: true,
	})
	return nil
}
