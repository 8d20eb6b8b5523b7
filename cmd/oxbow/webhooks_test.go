package main

import (
	"strings"
	"testing"
)

func TestWebhookFlagsAreBounded(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"--webhook-workers", "0"}, ""},
		{[]string{"--webhook-workers=-1"}, "--webhook-workers -1 is out of range: use 0 to 1024"},
		{[]string{"--webhook-timeout", "31s"}, "--webhook-timeout 31s is out of range"},
		{[]string{"--webhook-history", "1s"}, "--webhook-history 1s is out of range"},
	} {
		cli, err := parse(t, append([]string{"serve"}, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		err = cli.Serve.checkWebhooks()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
