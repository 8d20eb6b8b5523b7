package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCompletion(t *testing.T) {
	names := map[string][]string{
		publisherNames: {"acme"}, streamNames: {"acme/show"}, recordingNames: {"01kafzq7s8e5gv9mxw2ctr4n6b"},
		nodeNames: {"n-1"},
	}
	app := model(t)
	for _, c := range []struct {
		line, files string
		want        string // the words; one that ends in "..." is followed by others
	}{
		{"arch", "none", "archiver archive"},
		{"comple", "none", "completion"}, // not the hidden one
		{"recording ", "none", "list show hold release set delete clips"},
		{"recording list --ki", "none", "--kind"},
		{"recording list --kind c", "none", "clips"},
		{"recording list --kind=c", "none", "--kind=clips"},
		{"recording list --all --al", "none", ""}, // once is enough
		{"recording list --label a=b --labe", "none", "--label"},
		{"recording list a", "none", "acme/show"},
		{"recording show ", "none", "01kafzq7s8e5gv9mxw2ctr4n6b"},
		{"recording hold 01kafzq7s8e5gv9mxw2ctr4n6b 0", "none", "01kafzq7s8e5gv9mxw2ctr4n6b"},
		{"recording show x ", "none", ""},
		{"stream show a", "none", "acme/show"},
		{"stream create a", "none", ""}, // it is a new name
		{"stream list ", "none", "acme"},
		{"publisher show ", "none", "acme"},
		{"node drain ", "none", "n-1"},
		{"node drain --wait n", "none", "n-1"},
		{"serve --log-level ", "none", "debug error info warn"},
		{"serve --data ", "dirs", ""},
		{"serve --config ", "files", ""},
		{"serve --config=x", "files", ""},
		{"serve --fast-lane=", "none", "--fast-lane=true --fast-lane=false"},
		{"bench publish --file ", "files", ""},
		{"bench archive --archive s", "none", "s3://"},
		{"completion ", "none", "bash fish zsh"},
		{"help rei", "none", "reindex"},
		{"version -", "none", "--help ..."},
		{"no such thing ", "none", ""},
		{"serve -- --da", "none", ""},
	} {
		l := typedLine{app: app, names: func(kind, _ string) []string { return names[kind] }}
		got := l.complete(strings.Split(c.line, " "))
		var words []string
		for _, w := range got.words {
			words = append(words, w.text)
		}
		text := strings.Join(words, " ")
		start, more := strings.CutSuffix(c.want, "...")
		if got.files != c.files || text != c.want && (!more || !strings.HasPrefix(text, start)) {
			t.Errorf("%q: %s and %q, want %s and %q", c.line, got.files, text, c.files, c.want)
		}
	}
}

// Every command and flag that is not hidden can be completed.
func TestCompletionKnowsEveryCommandAndFlag(t *testing.T) {
	app := model(t)
	for _, leaf := range app.Leaves(true) {
		path := strings.Fields(leaf.Path())
		for i := range path {
			l := typedLine{app: app, names: func(string, string) []string { return nil }}
			got := l.complete(path[:i+1])
			if !slices.ContainsFunc(got.words, func(c candidate) bool { return c.text == path[i] && c.about != "" }) {
				t.Errorf("%v is not completed: %v", path[:i+1], got)
			}
		}
		for _, flag := range flagsOf(leaf) {
			l := typedLine{app: app}
			if got := l.complete(append(path, "--"+flag.Name)); !flag.Hidden && len(got.words) == 0 {
				t.Errorf("%s --%s is not completed", leaf.Path(), flag.Name)
			}
		}
	}
}

// inBash loads the script into a real bash, presses the key behind each line, and gives what would stand there, a line
// each.
func inBash(t *testing.T, dir string, lines []string) []string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	script := `
oxbow() { "$PROGRAM" "$@"; }
source <(oxbow completion bash) || exit 1
complete -p oxbow >/dev/null || exit 1
compopt() { :; } # only at a prompt
press() {
	COMP_LINE=$1 COMP_POINT=${#1}
	shift
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	_oxbow
	echo "${COMPREPLY[*]}"
}
`
	for _, line := range lines {
		script += "press '" + line + "' '" + strings.Join(bashWords(line), "' '") + "'\n"
	}
	cmd := exec.CommandContext(t.Context(), bash, "--norc", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PROGRAM="+os.Args[0], asProgram+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// bashWords parts a line as readline does with bash's COMP_WORDBREAKS, as far as these tests have need of it.
func bashWords(line string) (words []string) {
	for _, word := range strings.Split(line, " ") {
		for word != "" {
			at := strings.IndexAny(word, "=:")
			switch {
			case at < 0:
				words, word = append(words, word), ""
			case at == 0:
				words, word = append(words, word[:1]), word[1:]
			default:
				words, word = append(words, word[:at]), word[at:]
			}
		}
	}
	if strings.HasSuffix(line, " ") || strings.HasSuffix(line, "=") {
		words = append(words, "")
	}
	return words
}

func TestCompletionInBash(t *testing.T) {
	t.Parallel() // it mostly waits
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "clips"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := [][2]string{
		{"oxbow rein", "reindex"},
		{"oxbow recording list --kind ", "all clips shows"},
		{"oxbow recording list --kind=cl", "clips"}, // bash keeps what is before the =
		{"oxbow bench publish --file cl", "clips"},
		{"oxbow bench archive --archive=s", "s3://"},
		{"oxbow bench archive --archive s3:", "//"},
		{"oxbow --log-level debug serve --log-fo", "--log-format"},
	}
	var lines []string
	for _, w := range want {
		lines = append(lines, w[0])
	}
	got := inBash(t, dir, lines)
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i, w := range want {
		if got[i] != w[1] {
			t.Errorf("%q: %q, want %q", w[0], got[i], w[1])
		}
	}
}

func TestCompletionAsksTheAPI(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/v1/publishers":
			_, _ = w.Write([]byte(`{"items":[{"name":"acme"},{"name":"$(reboot)"},{"name":"zeta"}]}`))
		case "/v1/publishers/acme/streams":
			_, _ = w.Write([]byte(`{"items":[{"name":"show"}]}`))
		case "/v1/nodes":
			_, _ = w.Write([]byte(`{"items":[{"id":"n-1"}]}`))
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(api.Close)
	if got := apiNames(t.Context(), time.Minute, publisherNames, ""); got != nil {
		t.Errorf("without OXBOW_API: %v", got)
	}
	t.Setenv("OXBOW_API", api.URL)
	t.Setenv("OXBOW_TOKEN", "x")
	for _, c := range []struct{ kind, prefix, want string }{
		{publisherNames, "", "acme zeta"}, // and nothing that a shell would run
		{streamNames, "", "acme acme/ zeta zeta/"},
		{streamNames, "acme/s", "acme/show"},
		{nodeNames, "", "n-1"},
		{recordingNames, "", ""}, // refused
	} {
		if got := strings.Join(apiNames(t.Context(), time.Minute, c.kind, c.prefix), " "); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.kind, c.prefix, got, c.want)
		}
	}
}

// A person who presses the key is not kept waiting by an API that does not answer.
func TestCompletionGivesUp(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(api.Close)
	t.Setenv("OXBOW_API", api.URL)
	t.Setenv("OXBOW_TOKEN", "x")
	if got := apiNames(t.Context(), 50*time.Millisecond, publisherNames, ""); len(got) > 0 { // else it hangs
		t.Errorf("%v", got)
	}
}
