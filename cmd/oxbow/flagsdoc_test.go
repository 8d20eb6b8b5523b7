package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var updateFlags = flag.Bool("update", false, "write docs/flags.md anew")

// notInFile are the flags that are of one run only.
var notInFile = []string{"config", "help", "version"}

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(new(commands), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// flagsOf gives the flags of a command and of those that it is under, without the program's own.
func flagsOf(leaf *kong.Node) (list []*kong.Flag) {
	for n := leaf; n.Type != kong.ApplicationNode; n = n.Parent {
		list = append(slices.Clone(n.Flags), list...)
	}
	return list
}

// TestFlagsDocIsCurrent holds docs/flags.md against the command line.
func TestFlagsDocIsCurrent(t *testing.T) {
	const name = "../../docs/flags.md"
	want := flagsDoc(model(t))
	if *updateFlags {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("docs/flags.md is stale (%v): go test ./cmd/oxbow -run FlagsDoc -update", err)
	}
}

func flagsDoc(app *kong.Application) string {
	var b strings.Builder
	b.WriteString("# Commands and flags\n\n" +
		"<!-- Written by \"go test ./cmd/oxbow -run FlagsDoc -update\" from the command line's definition. -->\n\n" +
		"Every flag is also a variable of the environment, and a key of the configuration file (`--config FILE`: YAML, " +
		"`http: \":8080\"`).\nA flag wins over the environment, that over the file, that over the default. For every variable " +
		"there is one with `_FILE`\nbehind its name, which names a file that has the value: `OXBOW_ADMIN_TOKEN_FILE=" +
		"/run/secrets/admin` (one newline at its end\nis cut; 64 KiB at most; set one of the two). Secrets are best given " +
		"so: others on the machine see command lines, and child\nprocesses the environment. See [security](security.md). What is no " +
		"flag's name is refused by its name, in the\nfile too. `" + app.Name + " COMMAND --help` tells the same.\n\n" +
		configIntro +
		"## Of all commands\n\n")
	writeFlags(&b, app.Flags)
	for _, leaf := range app.Leaves(true) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", leaf.FullPath(), leaf.Help)
		for _, p := range leaf.Positional {
			fmt.Fprintf(&b, "\n- `%s`: %s\n", p.Summary(), p.Help)
		}
		if flags := flagsOf(leaf); len(flags) > 0 {
			b.WriteString("\n")
			writeFlags(&b, flags)
		}
	}
	return b.String()
}

func writeFlags(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | environment | default | |\n|---|---|---|---|\n")
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if value := strings.Trim(f.FormatPlaceHolder(), `"`); f.Enum != "" {
			name += " " + strings.ReplaceAll(f.Enum, ",", "\\|")
		} else if !f.IsBool() {
			name += " " + value
		}
		env := ""
		for i, e := range f.Envs {
			if i > 0 {
				env += ", else "
			}
			env += "`" + e + "`"
		}
		help, byDefault := f.Help, ""
		switch {
		case f.HasDefault && f.Default != "":
			byDefault = "`" + f.Default + "`"
			help = strings.Replace(help, " (default: "+f.Default+")", "", 1)
		case f.Required:
			byDefault = "required"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, env, byDefault, strings.ReplaceAll(help, "|", "\\|"))
	}
}

// TestFlagsEnvironmentAndFileAreOne holds the names of every flag against each other, and gives one that takes a value
// the same by the command line, the environment and the file.
func TestFlagsEnvironmentAndFileAreOne(t *testing.T) {
	app := model(t)
	leaves := app.Leaves(true)
	if len(leaves) < 10 {
		t.Fatalf("only %d commands", len(leaves))
	}
	tried, parsers := map[string]bool{}, map[string]*kong.Kong{}
	for _, leaf := range leaves {
		if top := topOf(leaf); top.Group != nil && top.Group.Key == "operate" {
			continue // those ask a server: TestOperatorsFlagsAreOfOneCall
		}
		for _, f := range slices.Concat(app.Flags, flagsOf(leaf)) {
			if f.Name == "help" || f.Name == "version" || f.Hidden { // hidden ones are of the program itself
				continue
			}
			want := "OXBOW_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			if ofOneCall := f.Tag.Get("env") == "-"; ofOneCall && len(f.Envs) == 0 {
				continue
			}
			if len(f.Envs) == 0 || f.Envs[0] != want {
				t.Errorf("%s --%s is %v in the environment, want %s", leaf.Path(), f.Name, f.Envs, want)
			}
			if f.Help == "" {
				t.Errorf("%s --%s has no help", leaf.Path(), f.Name)
			}
			// Commands that share a flag share its type's name; each is tried with one of them.
			kind := f.Name + " " + f.Target.Type().String()
			if len(leaf.Positional) == 0 && !tried[kind] && !slices.Contains(notInFile, f.Name) {
				tried[kind] = true
				command := topOf(leaf).Name
				if parsers[command] == nil {
					var err error
					if parsers[command], err = newParser(commandLineOf(command), io.Discard, io.Discard); err != nil {
						t.Fatal(err)
					}
				}
				sameEverywhere(t, parsers[command], leaf, f)
			}
		}
	}
}

// samples are values of which every flag takes one.
func samples(f *kong.Flag) []string {
	if f.Tag.Type == "existingfile" {
		return []string{os.Args[0]}
	}
	if f.Enum != "" {
		words := strings.Split(f.Enum, ",")
		return []string{words[len(words)-1], words[0]}
	}
	switch f.Target.Kind() { //nolint:exhaustive // others take any of the rest
	case reflect.Bool:
		return []string{"true", "false"}
	case reflect.String, reflect.Slice, reflect.Map:
		return []string{":7", "http://h.example", "10.0.0.0/8", "name=dir:/d", "postgres://u@h/d", "dir:/d", "7%", "7"}
	}
	return []string{"7", "7s", "7%", "dir:/d", "true"}
}

func sameEverywhere(t *testing.T, parser *kong.Kong, leaf *kong.Node, f *kong.Flag) {
	t.Helper()
	args := strings.Fields(leaf.Path())
	for _, other := range flagsOf(leaf) {
		if other.Required && other.Name != f.Name {
			args = append(args, "--"+other.Name+"="+samples(other)[0])
		}
	}
	before, _ := valueOf(parser, f.Name, args...)
	for _, sample := range samples(f) {
		want, err := valueOf(parser, f.Name, append(args, "--"+f.Name+"="+sample)...)
		if err != nil || reflect.DeepEqual(want, before) {
			continue
		}
		file := mustWriteFile(t, f.Name+": "+fmt.Sprintf("%q", sample)+"\n")
		if got, err := valueOf(parser, f.Name, append(args, "--config="+file)...); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s: %s in the file is %v, want %v (%v)", leaf.Path(), f.Name, sample, got, want, err)
		}
		t.Setenv(f.Envs[0], sample)
		got, err := valueOf(parser, f.Name, args...)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s=%s in the environment is %v, want %v (%v)", leaf.Path(), f.Envs[0], sample, got, want, err)
		}
		if err := os.Unsetenv(f.Envs[0]); err != nil { // t.Setenv puts back what was there
			t.Fatal(err)
		}
		misspelt := mustWriteFile(t, f.Name+"x: 1\n")
		if _, err := valueOf(parser, f.Name, append(args, "--config="+misspelt)...); err == nil ||
			!strings.Contains(err.Error(), f.Name+"x") {
			t.Errorf("%s: a key %sx is taken: %v", leaf.Path(), f.Name, err)
		}
		return
	}
	t.Errorf("%s --%s takes no sample", leaf.Path(), f.Name)
}

// commandLineOf is the command line with one command alone: to build that of all of them is what takes the time.
func commandLineOf(command string) any {
	var fields []reflect.StructField
	for f := range reflect.TypeFor[commands]().Fields() {
		_, isCommand := f.Tag.Lookup("cmd")
		if f.Name != "Operator" && (!isCommand || cmp.Or(f.Tag.Get("name"), strings.ToLower(f.Name)) == command) {
			fields = append(fields, f)
		}
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}

// valueOf parses a command line and gives a flag's value.
func valueOf(parser *kong.Kong, name string, args ...string) (any, error) {
	parsed, err := freshen(parser).Parse(args)
	if err != nil {
		return nil, err
	}
	for _, f := range parsed.Flags() {
		if f.Name == name {
			return f.Target.Interface(), nil
		}
	}
	return nil, fmt.Errorf("no flag %s", name)
}

func TestFileRefusesFlagsOfOneRun(t *testing.T) {
	for _, name := range notInFile {
		if _, err := parse(t, "serve", "--config", mustWriteFile(t, name+": x\n")); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s in the file: %v", name, err)
		}
	}
}
