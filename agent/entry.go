package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect"
	"github.com/hauberk/hauberk/agent/internal/pipe"
	"github.com/hauberk/hauberk/internal/conf"
)

// RunCollector is the collector process: it takes its config from descriptor
// 3 and writes to descriptor 4 until the master says quit or is gone.
func RunCollector(ctx context.Context, log *slog.Logger) error {
	syscall.SetNonblock(pipe.OutFD, true) // so that a full pipe parks a goroutine, not a thread
	unix.FcntlInt(pipe.OutFD, unix.F_SETPIPE_SZ, 1<<20)
	in, out := os.NewFile(pipe.InFD, "master"), os.NewFile(pipe.OutFD, "master")
	if in == nil || out == nil {
		return fmt.Errorf("collector: started by hand; the agent starts it")
	}
	kind, body, _, err := pipe.Read(in, nil)
	if err != nil || kind != pipe.KindConfig {
		return fmt.Errorf("collector: started by hand, or read config: frame %q, %w", kind, err)
	}
	config, err := decodeCollector(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel() // also when the master is gone
		for {
			kind, _, _, err := pipe.Read(in, nil)
			if err != nil || kind == pipe.KindQuit {
				return
			}
		}
	}()
	defer trimLater()()
	return collect.RunCollector(ctx, config, out, log)
}

// RunLoader is the loader process: it takes its config from standard input.
func RunLoader(ctx context.Context, log *slog.Logger) error {
	body, err := io.ReadAll(io.LimitReader(os.Stdin, pipe.MaxFrame))
	if err != nil {
		return fmt.Errorf("loader: read config: %w", err)
	}
	config, err := decodeCollector(body)
	if err != nil {
		return err
	}
	return collect.RunLoader(ctx, config, log)
}

func decodeCollector(body []byte) (collect.Config, error) {
	config := collect.DefaultConfig()
	if err := conf.Decode(body, &config); err != nil {
		return config, fmt.Errorf("collector config: %w", err)
	}
	return config, nil
}
