package hlscheck

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestManual(t *testing.T) {
	u := os.Getenv("HLSURL")
	if u == "" {
		t.Skip()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	r := New(Config{URL: u, Linger: time.Second}).Run(ctx)
	t.Log(r)
}
