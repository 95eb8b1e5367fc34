package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hauberk/hauberk/edge/internal/plane"
	"github.com/hauberk/hauberk/edge/wire"
	"github.com/hauberk/hauberk/internal/sock"
)

// errNoBackend says that a request names what is not there.
var errNoBackend = errors.New("no backend is called")

var (
	errNoVIP = errors.New("no VIP is called")
	errBusy  = errors.New("another capture is running, and the data plane has one reader")
)

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

// serve answers on the status socket: HTTP over <data_dir>/run/edge.sock,
// mode 0600. Without the socket the edge balances on.
func (e *Edge) serve(ctx context.Context) error {
	l, err := sock.Listen(ctx, wire.SocketPath(e.cfg.DataDir))
	if err != nil {
		e.deps.Log.Error("no status socket", "cause", err)
		return nil
	}
	// Handlers read the data plane's memory, so none may outlive it.
	var busy sync.WaitGroup
	defer busy.Wait()
	handler := e.handler()
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			busy.Add(1)
			defer busy.Done()
			handler.ServeHTTP(w, r)
		}), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		e.deps.Log.Error("status socket ended", "cause", err)
	}
	return nil
}

func (e *Edge) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /status", answer(func(*http.Request) (any, error) { return e.Status() }))
	m.HandleFunc("GET /vips", answer(func(*http.Request) (any, error) { return e.VIPs() }))
	m.HandleFunc("GET /sessions", e.streamSessions)
	m.HandleFunc("GET /packets", e.streamPackets)
	m.HandleFunc("POST /drain", answer(func(r *http.Request) (any, error) {
		var d wire.DrainRequest
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxRequest)).Decode(&d); err != nil {
			return nil, err
		}
		return e.Drain(d)
	}))
	m.HandleFunc("POST /reload", answer(func(r *http.Request) (any, error) {
		return struct{}{}, e.Reload(r.Context())
	}))
	return m
}

// answer writes what f returns as JSON, or its error as {"error": ...}.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v) // an error here is the reader's going away
	}
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusUnprocessableEntity
	if errors.Is(err, errNoBackend) || errors.Is(err, errNoVIP) {
		status = http.StatusNotFound
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()}) // as above
}

// streamPackets writes one packet a line until the reader goes: those that
// were dropped, or with ?all= all of them; ?vip= chooses one VIP's.
func (e *Edge) streamPackets(w http.ResponseWriter, r *http.Request) {
	names := e.names()
	filter := plane.Filter{All: r.URL.Query().Has("all")}
	if name := r.URL.Query().Get("vip"); name != "" {
		for id, n := range names {
			if n == name {
				filter.VIP = id
			}
		}
		if filter.VIP == 0 {
			refuse(w, fmt.Errorf("%w %q", errNoVIP, name))
			return
		}
	}
	if !e.reader.TryLock() {
		refuse(w, errBusy)
		return
	}
	defer e.reader.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	if flush.Flush() != nil { // the reader waits for the head of the answer
		return
	}
	interfaces := map[int]string{}
	err := e.plane.Packets(ctx, filter, func(s plane.Sample) {
		name, known := interfaces[s.Interface]
		if !known {
			name = strconv.Itoa(s.Interface)
			if i, err := net.InterfaceByIndex(s.Interface); err == nil {
				name = i.Name
			}
			interfaces[s.Interface] = name
		}
		p := wire.Packet{Time: s.Time, Reason: s.Reason.String(), VIP: names[s.VIP], Interface: name, Length: s.Length, Data: s.Data}
		if errors.Join(out.Encode(p), flush.Flush()) != nil {
			stop() // the reader is gone
		}
	})
	if err != nil {
		e.deps.Log.Warn("packets not shown", "cause", err)
	}
}

// streamSessions writes one session a line; ?vip= chooses one VIP's.
func (e *Edge) streamSessions(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	e.Sessions(r.URL.Query().Get("vip"), func(s wire.SessionStatus) bool { return out.Encode(s) == nil && r.Context().Err() == nil })
}
