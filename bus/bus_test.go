package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		err       error
		want      error
		retryable bool
	}{
		{kerr.PolicyViolation, ErrFull, true},
		{fmt.Errorf("wrapped: %w", kerr.KafkaStorageError), ErrUnavailable, true},
		{kerr.UnknownServerError, ErrUnavailable, true},
		{kerr.NotLeaderForPartition, ErrUnavailable, true},
		{kgo.ErrRecordTimeout, ErrUnavailable, true},
		{io.EOF, ErrUnavailable, true},
		{kerr.MessageTooLarge, ErrTooLarge, false},
		{kerr.UnknownTopicOrPartition, ErrUnknownTopic, false},
		{kerr.SaslAuthenticationFailed, ErrDenied, false},
		{kgo.ErrClientClosed, ErrClosed, false},
		{context.Canceled, context.Canceled, false},
		{kerr.InvalidRecord, kerr.InvalidRecord, false},
	} {
		got := classify(test.err)
		if !errors.Is(got, test.want) || !errors.Is(got, test.err) || Retryable(got) != test.retryable {
			t.Errorf("%v became %v, retryable %v", test.err, got, Retryable(got))
		}
	}
	if classify(nil) != nil {
		t.Error("nil became an error")
	}
}
