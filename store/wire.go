package store

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/store/cases"
)

// The socket's protocol, specified in docs/formats/store.md: POST /v1/<call>
// with a JSON object, answered by a JSON object; streams are answered by JSON
// lines and trailers. Protobuf messages travel in base64.

const (
	pathPrefix = "/v1/"
	typeJSON   = "application/json"
	typeLines  = "application/x-ndjson"
	// trailerEnd ends every complete stream; one without it was cut off.
	trailerEnd = "Hauberk-End"
	// trailerError holds a problem, as JSON, when a stream ended with one.
	trailerError = "Hauberk-Error"
	// maxRequest bounds the body of a request, in bytes.
	maxRequest = 1 << 20
)

// Errors of the store besides those of package cases (cases.ErrNotFound,
// ErrConflict, ErrInvalid, ErrDenied), told apart with errors.Is.
var (
	// ErrTimeout: the query did not end in its time. Rows before it are good.
	ErrTimeout = errors.New("query timed out")
	// ErrBusy: too many queries at once.
	ErrBusy = errors.New("store is busy")
	// ErrUnavailable: nobody answers on the socket, or the answer was cut off.
	ErrUnavailable = errors.New("store is unavailable")
)

// problem is an error on the wire.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"error"`
}

// codes maps sentinels to codes and HTTP statuses.
var codes = []struct {
	code   string
	err    error
	status int
}{
	{"not_found", cases.ErrNotFound, http.StatusNotFound},
	{"conflict", cases.ErrConflict, http.StatusConflict},
	{"invalid", cases.ErrInvalid, http.StatusBadRequest},
	{"denied", cases.ErrDenied, http.StatusForbidden},
	{"timeout", ErrTimeout, http.StatusGatewayTimeout},
	{"busy", ErrBusy, http.StatusServiceUnavailable},
}

const codeInternal = "internal"

func toProblem(err error) (problem, int) {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return problem{c.code, err.Error()}, c.status
		}
	}
	return problem{codeInternal, err.Error()}, http.StatusInternalServerError
}

// remoteError is a problem that the store reported.
type remoteError struct {
	message string
	cause   error
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.cause }

func (p problem) err() error {
	for _, c := range codes {
		if c.code == p.Code {
			return &remoteError{p.Message, c.err}
		}
	}
	return fmt.Errorf("store: %s", p.Message)
}

// What calls carry, where it is not a type of package cases.
type (
	none   struct{}
	nameIn struct {
		Name string `json:"name"`
	}
	idIn struct {
		ID     string `json:"id"`
		Tenant string `json:"tenant,omitempty"`
	}
	tenantIn struct {
		Tenant string `json:"tenant,omitempty"`
	}
	alertWire struct {
		cases.Alert
		Body []byte `json:"body,omitempty"` // event.Alert
	}
	alertPageWire struct {
		Alerts []alertWire `json:"alerts"`
		Next   string      `json:"next,omitempty"`
	}
	watchIn struct {
		After  int64             `json:"after"`
		Filter cases.AlertFilter `json:"filter"`
	}
	versionOut struct {
		Version int64 `json:"version"`
	}
	changedOut struct {
		Changed int `json:"changed"`
	}
	nodePageWire struct {
		Nodes [][]byte `json:"nodes"` // fleet.Presence
		Next  string   `json:"next,omitempty"`
	}
	resultsWire struct {
		Results [][]byte `json:"results"` // fleet.CommandResult
	}
	usersOut struct {
		Users []cases.User `json:"users"`
	}
	createUserIn struct {
		User     cases.User `json:"user"`
		Password string     `json:"password"`
	}
	passwordIn struct {
		Name       string `json:"name"`
		Password   string `json:"password"`
		MustChange bool   `json:"must_change,omitempty"`
	}
	sessionIn struct {
		User    string        `json:"user"`
		TTL     time.Duration `json:"ttl"`
		Address string        `json:"address,omitempty"`
		Agent   string        `json:"agent,omitempty"`
	}
	sessionOut struct {
		Token   string        `json:"token"`
		Session cases.Session `json:"session"`
	}
	sessionsOut struct {
		Sessions []cases.Session `json:"sessions"`
	}
	tokenIn struct {
		Name string        `json:"name"`
		User string        `json:"user"`
		Role cases.Role    `json:"role"`
		TTL  time.Duration `json:"ttl,omitempty"`
	}
	tokenOut struct {
		Token    string         `json:"token"`
		APIToken cases.APIToken `json:"api_token"`
	}
	tokensOut struct {
		Tokens []cases.APIToken `json:"tokens"`
	}
	secretIn struct {
		Token string `json:"token"`
	}
	settingOut struct {
		Value string `json:"value"`
	}
	settingIn struct {
		Key   string `json:"key"`
		Value string `json:"value,omitempty"`
		By    string `json:"by,omitempty"`
	}
	reconcileOut struct {
		Nodes []Reconciliation `json:"nodes"`
	}
	dirIn struct {
		Dir string `json:"dir"`
	}
)

func toAlertWire(a cases.Alert) (alertWire, error) {
	w := alertWire{Alert: a}
	if a.Alert != nil {
		body, err := a.Alert.MarshalVT()
		if err != nil {
			return w, fmt.Errorf("marshal alert %s: %w", a.ID, err)
		}
		w.Body = body
	}
	return w, nil
}

func (w alertWire) alert() (cases.Alert, error) {
	a := w.Alert
	if len(w.Body) > 0 {
		a.Alert = &event.Alert{}
		if err := a.Alert.UnmarshalVT(w.Body); err != nil {
			return a, fmt.Errorf("unmarshal alert %s: %w", a.ID, err)
		}
	}
	return a, nil
}

func (w nodePageWire) page() (cases.NodePage, error) {
	page := cases.NodePage{Next: w.Next}
	for _, body := range w.Nodes {
		p := &fleet.Presence{}
		if err := p.UnmarshalVT(body); err != nil {
			return page, fmt.Errorf("unmarshal presence: %w", err)
		}
		page.Nodes = append(page.Nodes, p)
	}
	return page, nil
}
