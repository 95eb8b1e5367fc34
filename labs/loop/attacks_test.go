package loop

import (
	"context"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// The attacks must be real before their alerts mean anything.
func TestAttacksSucceed(t *testing.T) {
	need.Root(t)
	for _, a := range Attacks {
		t.Run(a.Name, func(t *testing.T) {
			if err := a.Run(context.Background(), t.TempDir()); err != nil {
				t.Fatal(err)
			}
		})
	}
}
