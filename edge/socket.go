package edge

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hauberk/hauberk/internal/sock"
)

// errNoBackend says that a request names what is not there.
var errNoBackend = errors.New("no backend is called")

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

// serve answers on the status socket: HTTP over <data_dir>/run/edge.sock,
// mode 0600. Without the socket the edge balances on.
func (e *Edge) serve(ctx context.Context) error {
	l, err := sock.Listen(ctx, SocketPath(e.cfg.DataDir))
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
	m.HandleFunc("POST /drain", answer(func(r *http.Request) (any, error) {
		var d DrainRequest
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
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			status := http.StatusUnprocessableEntity
			if errors.Is(err, errNoBackend) {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
			v = map[string]string{"error": err.Error()}
		}
		json.NewEncoder(w).Encode(v) // an error here is the reader's going away
	}
}

// streamSessions writes one session a line; ?vip= chooses one VIP's.
func (e *Edge) streamSessions(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	e.Sessions(r.URL.Query().Get("vip"), func(s SessionStatus) bool { return out.Encode(s) == nil && r.Context().Err() == nil })
}
