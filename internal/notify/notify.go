// Package notify speaks the readiness protocol of sd_notify(3): a service
// says READY=1 on the Unix datagram socket that $NOTIFY_SOCKET names. systemd
// listens in production, `hauberk up` on one machine.
package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
)

// Ready says that the service has started; status is one line for people.
// Without $NOTIFY_SOCKET it does nothing.
func Ready(status string) error { return send("READY=1\nSTATUS=" + oneLine(status)) }

// Stopping says that the service is about to end.
func Stopping() error { return send("STOPPING=1") }

// Status says what the service is doing, in one line.
func Status(status string) error { return send("STATUS=" + oneLine(status)) }

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

func send(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify %s: %w", path, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify %s: %w", path, err)
	}
	return nil
}

// State is what a service said of itself.
type State struct {
	Ready, Stopping bool
	Status          string
}

// Listen makes the socket at path (0600) and calls heard for each message
// until the context ends. It returns once the socket exists; done is closed
// when it listens no more.
func Listen(ctx context.Context, path string, heard func(State)) (done <-chan struct{}, err error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for readiness: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		conn.Close()
		return nil, err
	}
	finished := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	go func() {
		defer close(finished)
		defer stop()
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return // closed with the context
			}
			heard(parse(string(buf[:n])))
		}
	}()
	return finished, nil
}

func parse(message string) State {
	var s State
	for line := range strings.Lines(message) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case "READY":
			s.Ready = value == "1"
		case "STOPPING":
			s.Stopping = value == "1"
		case "STATUS":
			s.Status = value
		}
	}
	return s
}
