package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCommandLine runs the scripts of testdata/cli: the operators' commands against a server of each script's own.
// Beside testscript's own words there are
//
//	capture NAME            sets NAME to what the last command printed
//	code N COMMAND          runs the command, which ends with the exit code
//	eventually RE COMMAND   runs the command until what it prints matches
//	publish NAME KEY        starts an encoder with the key
//	gone NAME               waits until that encoder has ended
//	restart                 waits until the server has ended, and starts it again
func TestCommandLine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cli/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			needTool(t, "ffmpeg")
			s := &cliScript{tb: t, o: newOxbow(t), encoders: map[string]*process{}}
			s.o.start("serve")
			testscript.Run(t, testscript.Params{
				Files: []string{file}, Setup: s.setup,
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"capture": s.capture, "code": s.code, "eventually": s.eventually, "publish": s.publish, "gone": s.gone,
					"restart": s.restart,
				},
			})
		})
	}
}

// cliScript is what one script works with.
type cliScript struct {
	tb       testing.TB
	o        *oxbow
	encoders map[string]*process
}

func (s *cliScript) setup(env *testscript.Env) error {
	env.Setenv("PATH", filepath.Dir(oxbowBinary)+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("OXBOW_API", "http://"+s.o.http)
	env.Setenv("OXBOW_TOKEN", adminToken)
	env.Setenv("TZ", "UTC")
	return nil
}

// arguments insists on the number of them, and on no negation.
func arguments(ts *testscript.TestScript, neg bool, args []string, least, most int) {
	if neg || len(args) < least || len(args) > most {
		ts.Fatalf("%d arguments, want %d to %d, and no negation", len(args), least, most)
	}
}

func (s *cliScript) capture(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if text == "" {
		ts.Fatalf("the last command printed nothing")
	}
	ts.Setenv(args[0], text)
}

func (s *cliScript) code(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 100)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func (s *cliScript) eventually(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 100)
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	limit := patient(30 * time.Second)
	deadline := time.After(limit)
	for ts.Exec(args[1], args[2:]...) != nil || !want.MatchString(ts.ReadFile("stdout")) {
		select {
		case <-deadline:
			ts.Fatalf("not within %v", limit)
		case <-poll.C:
		}
	}
}

func (s *cliScript) publish(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	s.encoders[args[0]] = publish(s.tb, "-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10", "-f", "lavfi",
		"-i", "sine", "-t", "120", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "aac", "-f", "flv",
		"rtmp://"+s.o.rtmp+"/live/"+args[1])
}

func (s *cliScript) gone(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	p := s.encoders[args[0]]
	if p == nil {
		ts.Fatalf("no encoder %s", args[0])
	}
	select {
	case <-p.done:
		if p.err == nil {
			ts.Fatalf("encoder %s ended by itself", args[0])
		}
	case <-time.After(patient(20 * time.Second)):
		ts.Fatalf("encoder %s did not end", args[0])
	}
}

func (s *cliScript) restart(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, 0)
	select {
	case <-s.o.done:
	case <-time.After(patient(30 * time.Second)):
		ts.Fatalf("the server did not end")
	}
	s.o.stop(syscall.SIGKILL) // it has ended: only forgets it
	s.o.start("serve")
}

// TestCommandLineTour holds docs/cli.md against the scripts: every command that it shows is run by one of them.
func TestCommandLineTour(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cli/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var ran strings.Builder
	for _, file := range files {
		for line := range strings.Lines(mustRead(t, file)) {
			_, command, _ := strings.Cut(strings.TrimSpace(line), "oxbow ")
			fmt.Fprintf(&ran, "oxbow %s\n", command)
		}
	}
	assigned := regexp.MustCompile(`^[A-Z]+=\$\((.*)\)$`)
	shown := 0
	inside := false
	for line := range strings.Lines(mustRead(t, "../docs/cli.md")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			inside = line == "```sh"
			continue
		}
		if m := assigned.FindStringSubmatch(line); m != nil {
			line = m[1]
		}
		line, _, _ = strings.Cut(line, "  #")
		if line = strings.TrimSpace(line); !inside || !strings.HasPrefix(line, "oxbow ") {
			continue
		}
		shown++
		if !strings.Contains(ran.String(), line+"\n") {
			t.Errorf("docs/cli.md shows a command that no script runs: %s", line)
		}
	}
	if shown < 20 {
		t.Errorf("docs/cli.md shows %d commands: has its form changed?", shown)
	}
}
