package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/internal/sock"
	"github.com/hauberk/hauberk/store/cases"
)

const (
	// headerTimeout and headerBytes bound what a caller can hold open before
	// it asked for anything; drainTime is how long calls may go on at the end.
	headerTimeout = 10 * time.Second
	headerBytes   = 32 << 10
	idleTimeout   = 2 * time.Minute
	drainTime     = 5 * time.Second
	// lineBuffer is how much of a stream is gathered before it is sent; a
	// stream that has nothing more at the moment is sent at once.
	lineBuffer = 32 << 10
)

// serve answers calls on the socket until ctx ends.
func (s *Store) serve(ctx context.Context) error {
	l, err := sock.Listen(ctx, s.config.Socket)
	if err != nil {
		return err
	}
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		BaseContext:       func(net.Listener) context.Context { return calls },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	if s.deps.Ready != nil {
		s.deps.Ready()
	}
	select {
	case err := <-ended:
		return fmt.Errorf("serve store socket: %w", err)
	case <-ctx.Done():
	}
	// Streams end now; what is short may end by itself.
	stop := time.AfterFunc(drainTime/5, cancel)
	defer stop.Stop()
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer done()
	err = server.Shutdown(drain)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-ended
	return err
}

// handler routes the calls.
func (s *Store) handler() http.Handler {
	mux := http.NewServeMux()
	s.routes(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.count.requests.Inc()
		err := run.Protect(func() error { mux.ServeHTTP(w, r); return nil })
		if err != nil {
			s.deps.Log.Error("call failed", "path", r.URL.Path, "err", err)
			panic(http.ErrAbortHandler) // the caller sees the answer cut off
		}
	})
}

// decode reads the request's JSON object strictly.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: body: %w", cases.ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: body: more than one object", cases.ErrInvalid)
	}
	return nil
}

func writeProblem(w http.ResponseWriter, err error) {
	p, status := toProblem(err)
	text, _ := json.Marshal(p) // two strings always marshal
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller may be gone
}

// answer serves a call with one answer.
func answer[In, Out any](mux *http.ServeMux, name string, f func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST "+pathPrefix+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		err := decode(r, &in)
		var out Out
		if err == nil {
			out, err = f(r.Context(), in)
		}
		var text []byte
		if err == nil {
			text, err = json.Marshal(out)
		}
		if err != nil {
			writeProblem(w, err)
			return
		}
		w.Header().Set("Content-Type", typeJSON)
		_, _ = w.Write(text) // the caller may be gone
	})
}

// do serves a call whose answer is empty.
func do[In any](mux *http.ServeMux, name string, f func(context.Context, In) error) {
	answer(mux, name, func(ctx context.Context, in In) (none, error) { return none{}, f(ctx, in) })
}

// lineWriter writes the lines of a stream.
type lineWriter struct {
	w     http.ResponseWriter
	mu    sync.Mutex
	out   *bufio.Writer
	begun bool
}

// begin sends the header: from here on a failure is in the trailer.
func (l *lineWriter) begin() {
	if l.begun {
		return
	}
	l.begun = true
	l.w.Header().Set("Content-Type", typeLines)
	l.w.Header().Set("Trailer", trailerEnd+", "+trailerError)
	l.w.WriteHeader(http.StatusOK)
}

func (l *lineWriter) line(text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin()
	if _, err := l.out.Write(text); err != nil {
		return err
	}
	return l.out.WriteByte('\n')
}

// flush sends what was gathered.
func (l *lineWriter) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin()
	if err := l.out.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}

// lines serves a call answered by lines; what f returns is sent at the end.
func lines[In any](mux *http.ServeMux, name string, f func(context.Context, In, *lineWriter) (any, error)) {
	mux.HandleFunc("POST "+pathPrefix+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := decode(r, &in); err != nil {
			writeProblem(w, err)
			return
		}
		l := &lineWriter{w: w, out: bufio.NewWriterSize(w, lineBuffer)}
		end, err := f(r.Context(), in, l)
		if err != nil && !l.begun {
			writeProblem(w, err)
			return
		}
		l.begin()
		key, value := trailerEnd, end
		if err != nil {
			p, _ := toProblem(err)
			key, value = trailerError, p
		}
		text, failed := json.Marshal(value)
		if failed != nil || l.out.Flush() != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set(key, string(text))
	})
}
