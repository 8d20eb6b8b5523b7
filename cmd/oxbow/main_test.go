package main

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// asProgram in the environment makes the test's binary this program, for tests that need it as a process.
const asProgram = "OXBOW_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program gives a command that runs this program as a process of its own.
func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}
