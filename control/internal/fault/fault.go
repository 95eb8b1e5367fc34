// Package fault names the three ways in which a request to the control plane
// can be the asker's fault; every other error is the centre's.
package fault

import (
	"errors"
	"fmt"
)

var (
	// ErrUnknown: what was named is not there.
	ErrUnknown = errors.New("not found")
	// ErrConflict: somebody else changed it meanwhile.
	ErrConflict = errors.New("somebody else changed it meanwhile")
	// ErrInvalid: what was asked for makes no sense, and the error says why.
	ErrInvalid = errors.New("invalid")
)

type invalid struct{ error }

func (invalid) Is(target error) bool { return target == ErrInvalid }
func (e invalid) Unwrap() error      { return e.error }

// Invalid marks an error as ErrInvalid without changing its words; nil stays
// nil.
func Invalid(err error) error {
	if err == nil {
		return nil
	}
	return invalid{err}
}

// Invalidf makes an error that is ErrInvalid.
func Invalidf(format string, args ...any) error { return invalid{fmt.Errorf(format, args...)} }
