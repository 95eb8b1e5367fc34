package netstack_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/port"
)

// on runs a stack with one address on a port; programs give it a driver's port in the place of the in-memory link.
func on(ctx context.Context, p port.Port, address string) *netstack.Stack {
	cfg := netstack.DefaultConfig()
	cfg.Engine.Addresses = []netip.Prefix{netip.MustParsePrefix(address)}
	s, err := netstack.New(cfg, p)
	if err != nil {
		panic(err)
	}
	go func() { _ = s.Run(ctx) }() // Ends with ctx.
	return s
}

// A web server: the one changed line is the listener.
func ExampleStack_Listen() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a, b := port.NewLink(1500)
	client, server := on(ctx, a, "10.0.0.1/24"), on(ctx, b, "10.0.0.2/24")

	l, err := server.Listen("tcp", ":80") // was: net.Listen("tcp", ":80")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from", r.URL.Path) }))
	}()

	c := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
	resp, err := c.Get("http://10.0.0.2/netstack")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Print(string(body))
	// Output: hello from /netstack
}

// A server of the Redis protocol, as far as PING and ECHO.
func ExampleStack_Dial() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a, b := port.NewLink(1500)
	client, server := on(ctx, a, "10.0.0.1/24"), on(ctx, b, "10.0.0.2/24")
	l, err := server.Listen("tcp", ":6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	serve := func(c net.Conn) {
		defer c.Close()
		for lines := bufio.NewScanner(c); lines.Scan(); {
			switch command, rest, _ := strings.Cut(lines.Text(), " "); strings.ToUpper(command) {
			case "PING":
				fmt.Fprint(c, "+PONG\r\n")
			case "ECHO":
				fmt.Fprintf(c, "$%d\r\n%s\r\n", len(rest), rest)
			default:
				fmt.Fprint(c, "-ERR unknown command\r\n")
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()

	c, err := client.Dial("tcp", "10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, command := range []string{"PING", "ECHO hauberk"} {
		fmt.Fprintf(c, "%s\r\n", command)
		line, _ := r.ReadString('\n')
		fmt.Println(strings.TrimSpace(line))
	}
	// Output:
	// +PONG
	// $7
}
