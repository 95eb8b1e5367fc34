package api

// Run, in order:
//
//  1. listen on the Unix socket (mode 0600) and on HTTPS   sequential
//  2. serve both; feed the hub with alerts and nodes       parallel
//  3. when the context ends: stop accepting, end the streams, give ordinary
//     requests stopTime to finish                          sequential

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/internal/sock"
)

const (
	stopTime = 5 * time.Second
	// headTime and idleTime bound slow and idle connections, maxHead a
	// request's headers in bytes.
	headTime = 10 * time.Second
	idleTime = 2 * time.Minute
	maxHead  = 32 << 10
)

// Run serves until the context ends.
func (s *Server) Run(ctx context.Context) error {
	if s.deps.Certificate == nil {
		return errors.New("serve api: no certificate")
	}
	https, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen on api.listen: %w", err)
	}
	defer https.Close()
	var local net.Listener
	if s.config.Socket != "" {
		// The peer is checked at every request too.
		if local, err = sock.Listen(ctx, s.config.Socket); err != nil {
			return fmt.Errorf("open api.socket: %w", err)
		}
		defer local.Close()
	}
	group, _ := run.NewGroup(ctx)
	group.Go("feed alerts", s.feedAlerts)
	group.Go("feed nodes", s.feedNodes)
	secure := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.deps.Certificate}
	group.Go("serve https", func(ctx context.Context) error { return s.listen(ctx, https, secure) })
	if local != nil {
		group.Go("serve socket", func(ctx context.Context) error { return s.listen(ctx, local, nil) })
	}
	s.log.Info("api listens", "https", https.Addr().String(), "socket", s.config.Socket)
	if s.deps.Ready != nil {
		s.deps.Ready(https.Addr())
	}
	return group.Wait()
}

// listen serves one listener, with TLS unless secure is nil. Streams end with ctx, because it is the base of
// their contexts.
func (s *Server) listen(ctx context.Context, l net.Listener, secure *tls.Config) error {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	server := &http.Server{
		Handler:           s.handler,
		Protocols:         protocols,
		TLSConfig:         secure,
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHead,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       peerContext,
		// Scanners and browsers that distrust the certificate are no news.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() {
		if secure != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := server.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended
	return err
}
