package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// localAPI asks the API of this machine over its root-only socket.
type localAPI struct{ http *http.Client }

func newLocalAPI(socket string) *localAPI {
	return &localAPI{&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}}
}

func (l *localAPI) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://local"+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := l.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, data)
	}
	return json.Unmarshal(data, out)
}

// firstPassword makes the administrator at the first start and returns the
// one-time password; empty once somebody has chosen one.
func (l *localAPI) firstPassword(ctx context.Context) (string, error) {
	var made struct {
		Password string `json:"password"`
	}
	err := l.call(ctx, http.MethodPost, "/api/v1/setup", struct{}{}, &made)
	return made.Password, err
}

// addresses are where the platform is reached.
type addresses struct {
	Console string `json:"console"`
	Nodes   string `json:"nodes"`
}

func (l *localAPI) addresses(ctx context.Context) (addresses, error) {
	var status struct {
		Addresses addresses `json:"addresses"`
	}
	err := l.call(ctx, http.MethodGet, "/api/v1/status", nil, &status)
	return status.Addresses, err
}

// enrolmentToken makes a token for one machine, for a minute.
func (l *localAPI) enrolmentToken(ctx context.Context) (string, error) {
	var made struct {
		Token string `json:"token"`
	}
	err := l.call(ctx, http.MethodPost, "/api/v1/enrolment-tokens", map[string]any{"kind": "agent", "uses": 1, "seconds": 60}, &made)
	return made.Token, err
}

// sensor is one thing the agent watches.
type sensor struct {
	Name   string `json:"name"`
	Method string `json:"method"`
	State  string `json:"state"`
	Reason string `json:"reason"`
}

// sensorPatience is how long `up` waits for the agent's canaries before it
// says what it knows.
const sensorPatience = 5 * time.Second

// sensors waits until the agent, heard since it was started, has tried all its
// sensors. What the platform knows from before says nothing.
func (l *localAPI) sensors(ctx context.Context, node string, started time.Time) ([]sensor, error) {
	ctx, cancel := context.WithTimeout(ctx, sensorPatience)
	defer cancel()
	var seen struct {
		Heard   time.Time `json:"heard"`
		Sensors []sensor  `json:"sensors"`
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := l.call(ctx, http.MethodGet, "/api/v1/nodes/"+node, nil, &seen)
		if err != nil || seen.Heard.Before(started) {
			seen.Sensors = nil
		} else if settledSensors(seen.Sensors) {
			return seen.Sensors, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if len(seen.Sensors) == 0 {
				return nil, fmt.Errorf("it has not said yet what it watches; `hauberk nodes show %s` will", node)
			}
			return seen.Sensors, nil
		}
	}
}

func settledSensors(list []sensor) bool {
	for _, s := range list {
		if s.State == "starting" {
			return false
		}
	}
	return len(list) > 0
}

// agentNode asks the agent which node it is.
func agentNode(ctx context.Context, path, dir string) (string, error) {
	c := exec.CommandContext(ctx, path, "identity", "--data-dir", dir, "--json")
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("ask the agent who it is: %w", err)
	}
	var identity struct {
		Node string `json:"node"`
	}
	if err := json.Unmarshal(out, &identity); err != nil {
		return "", fmt.Errorf("ask the agent who it is: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return identity.Node, nil
}
