package main

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZapLogger gives the ACME client's logger ours to write to. Its news are for debugging: what an operator must know
// of a certificate is told once, by acmeIssuer.tell.
func newZapLogger(logger *slog.Logger) *zap.Logger {
	return zap.New(zapTarget{logger: logger})
}

// zapTarget is a zapcore.Core over slog.
type zapTarget struct {
	logger *slog.Logger
	with   []zapcore.Field
}

func zapLevel(level zapcore.Level) slog.Level {
	if level >= zapcore.ErrorLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.Core.
func (z zapTarget) Enabled(level zapcore.Level) bool {
	return z.logger.Enabled(context.Background(), zapLevel(level))
}

// With implements zapcore.Core.
func (z zapTarget) With(fields []zapcore.Field) zapcore.Core {
	z.with = append(z.with[:len(z.with):len(z.with)], fields...)
	return z
}

// Check implements zapcore.Core.
func (z zapTarget) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(entry.Level) {
		return checked.AddCore(entry, z)
	}
	return checked
}

// Write implements zapcore.Core.
func (z zapTarget) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	seen := zapcore.NewMapObjectEncoder()
	for _, field := range z.with {
		field.AddTo(seen)
	}
	for _, field := range fields {
		field.AddTo(seen)
	}
	attrs := make([]slog.Attr, 0, 1+len(seen.Fields))
	attrs = append(attrs, slog.String("did", entry.Message))
	for key, value := range seen.Fields {
		attrs = append(attrs, slog.Any(key, value))
	}
	z.logger.LogAttrs(context.Background(), zapLevel(entry.Level), "ACME", attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (z zapTarget) Sync() error { return nil }
