package out

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// PermanentError is an error that trying again cannot mend.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }

func (e *PermanentError) Unwrap() error { return e.Err }

func isPermanent(err error, target **PermanentError) bool { return errors.As(err, target) }

// Headers of a webhook request.
const (
	// HeaderSignature is "sha256=" and the HMAC-SHA256, in hexadecimal, of
	// the timestamp, a '.' and the body, with the shared secret.
	HeaderSignature = "X-Hauberk-Signature"
	// HeaderTimestamp is when the request was made, Unix seconds: a receiver
	// refuses old ones, so that a captured request is worth nothing.
	HeaderTimestamp = "X-Hauberk-Timestamp"
	// HeaderID is the alert's id: it is the same in every attempt and update.
	HeaderID = "X-Hauberk-Alert"
)

// Webhook is a Sink that POSTs each alert as JSON.
type Webhook struct {
	url    string
	secret []byte
	client *http.Client
	now    func() time.Time
}

// webhookTimeout bounds one attempt.
const webhookTimeout = 10 * time.Second

// NewWebhook posts to url; caFile, a PEM file, replaces the system's roots when
// given; without a secret requests are not signed. Redirects are not followed:
// the alert is for this receiver.
func NewWebhook(url, secret, caFile string, now func() time.Time) (*Webhook, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxIdleConnsPerHost = 1
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read webhook roots: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read webhook roots: %s has no certificate", caFile)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &Webhook{
		url: url, secret: []byte(secret), now: now,
		client: &http.Client{
			Timeout: webhookTimeout, Transport: transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Sign gives the value of HeaderSignature.
func Sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Send posts the alert. Any 2xx answer is success; 4xx but for 408 and 429 is
// permanent.
func (w *Webhook) Send(ctx context.Context, a *Alert) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(a.JSON))
	if err != nil {
		return &PermanentError{fmt.Errorf("make webhook request: %w", err)}
	}
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "hauberk")
	request.Header.Set(HeaderTimestamp, timestamp)
	request.Header.Set(HeaderID, a.ID)
	if len(w.secret) > 0 {
		request.Header.Set(HeaderSignature, Sign(w.secret, timestamp, a.JSON))
	}
	response, err := w.client.Do(request)
	if err != nil {
		return fmt.Errorf("post alert: %w", err)
	}
	defer response.Body.Close()
	// Read a little, so that the connection can be used again.
	if _, err := io.CopyN(io.Discard, response.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("post alert: %w", err)
	}
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests, code >= 300 && code < 400:
		return &PermanentError{fmt.Errorf("post alert: receiver answered %s", response.Status)}
	default:
		return fmt.Errorf("post alert: receiver answered %s", response.Status)
	}
}

// Close closes idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
