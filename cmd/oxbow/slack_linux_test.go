package main

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestServerBeginsAnewWithTimerSlack(t *testing.T) {
	const child = "OXBOW_TEST_SLACK_CHILD"
	if os.Getenv(child) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), child+"=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	allowTimerSlack()
	if value, set := os.LookupEnv(slackEnv); set {
		t.Errorf("children would inherit %s=%s", slackEnv, value)
	}
	if slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || slack != int(timerSlack) {
		t.Errorf("timer slack %d, %v; want %d", slack, err, timerSlack)
	}
	allowTimerSlack() // and not for ever
}
