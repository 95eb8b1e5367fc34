package etcd

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapTo returns a zap logger that writes to slog one level down: what etcd
// calls information is of interest only when looking for a fault.
func zapTo(log *slog.Logger) *zap.Logger {
	return zap.New(core{log: log.With("from", "etcd")})
}

type core struct{ log *slog.Logger }

var levels = map[zapcore.Level]slog.Level{
	zapcore.DebugLevel: slog.LevelDebug - 4,
	zapcore.InfoLevel:  slog.LevelDebug,
	zapcore.WarnLevel:  slog.LevelInfo,
}

func level(l zapcore.Level) slog.Level {
	if s, ok := levels[l]; ok {
		return s
	}
	return slog.LevelError
}

func (c core) Enabled(l zapcore.Level) bool { return c.log.Enabled(context.Background(), level(l)) }

func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.log.With(attributes(fields)...)}
}

func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(context.Background(), level(e.Level), e.Message, attributes(fields)...)
	return nil
}

func (c core) Sync() error { return nil }

func attributes(fields []zapcore.Field) []any {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(values)
	}
	out := make([]any, 0, 2*len(fields))
	for _, f := range fields {
		out = append(out, f.Key, values.Fields[f.Key])
	}
	return out
}
