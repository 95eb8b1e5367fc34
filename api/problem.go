package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hauberk/hauberk/store"
	"github.com/hauberk/hauberk/store/cases"
)

// problem is an error as RFC 9457 (problem+json) says it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`

	retry time.Duration // for Retry-After
}

func (p *problem) Error() string { return p.Detail }

// problemType makes the type member; the words are listed in
// docs/formats/api.md.
func problemType(word string) string { return "urn:hauberk:problem:" + word }

func failf(status int, word, format string, args ...any) *problem {
	return &problem{Type: problemType(word), Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *problem {
	return failf(http.StatusBadRequest, "invalid", format, args...)
}

// problemOf says an error as a problem. What is nobody's fault outside is
// logged by the caller and its words stay inside.
func (s *Server) problemOf(err error) *problem {
	var p *problem
	var tooLarge *http.MaxBytesError
	is := func(target, theirs error) bool {
		return errors.Is(err, target) || theirs != nil && errors.Is(err, theirs)
	}
	f := s.deps.Faults
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return failf(http.StatusRequestEntityTooLarge, "too-large", "the request has more than %d bytes", tooLarge.Limit)
	case is(cases.ErrNotFound, f.Unknown):
		return failf(http.StatusNotFound, "not-found", "%v", err)
	case is(cases.ErrConflict, f.Conflict):
		return failf(http.StatusConflict, "conflict", "%v", err)
	case is(cases.ErrInvalid, f.Invalid):
		return badRequest("%v", err)
	case errors.Is(err, cases.ErrDenied):
		return failf(http.StatusForbidden, "role", "%v", err)
	case errors.Is(err, store.ErrBusy):
		p := failf(http.StatusServiceUnavailable, "busy", "too many searches at once; try again soon")
		p.retry = 2 * time.Second
		return p
	case errors.Is(err, store.ErrUnavailable):
		p := failf(http.StatusServiceUnavailable, "store-away", "the store does not answer; it may be starting")
		p.retry = 2 * time.Second
		return p
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, store.ErrTimeout):
		return failf(http.StatusGatewayTimeout, "timeout", "it took too long; ask for less, or later")
	}
	return failf(http.StatusInternalServerError, "internal", "the centre failed; its log says why")
}

func (p *problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retry.Seconds())+1))
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // a client that is gone needs no answer
}
