package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func runScript(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "../secrets.sh", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
}

// stage is one of the Dockerfile's.
type stage struct {
	base, name string
	steps      [][2]string // instruction and the rest of its line
}

// stages reads the Dockerfile, as far as ours goes.
func stages(t *testing.T) (all []stage) {
	t.Helper()
	text := strings.ReplaceAll(mustRead(t, "../../Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		instruction, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.Join(strings.Fields(rest), " ")
		switch {
		case !ok || strings.HasPrefix(line, "#"):
		case instruction == "FROM":
			words := slices.DeleteFunc(strings.Fields(rest), func(word string) bool { return strings.HasPrefix(word, "--") })
			if len(words) != 3 {
				t.Fatalf("a stage without a name: %s", line)
			}
			all = append(all, stage{base: words[0], name: words[2]})
		default:
			last := &all[len(all)-1]
			last.steps = append(last.steps, [2]string{instruction, rest})
		}
	}
	return all
}

// of gives an instruction's arguments.
func (s stage) of(instruction string) (all []string) {
	for _, step := range s.steps {
		if step[0] == instruction {
			all = append(all, step[1])
		}
	}
	return all
}

func TestDockerfileFits(t *testing.T) {
	all := stages(t)
	byName := map[string]stage{}
	for _, s := range all {
		byName[s.name] = s
	}
	if last := all[len(all)-1]; last.name != "oxbow" || last.base != "scratch" {
		t.Errorf("the image that is built by default is %s from %s", last.name, last.base)
	}
	for _, name := range []string{"oxbow", "oxbow-ffmpeg"} {
		s := byName[name]
		for instruction, want := range map[string]string{
			"USER": "65532:65532", "ENTRYPOINT": `["/usr/local/bin/oxbow"]`, "VOLUME": "/data", "STOPSIGNAL": "SIGTERM",
			"EXPOSE": "8080 8081 9090 1935 8890/udp", "CMD": `["serve"]`,
		} {
			if got := s.of(instruction); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s is %q, want %q", name, instruction, got, want)
			}
		}
		if check := strings.Join(s.of("HEALTHCHECK"), ""); !strings.HasSuffix(check, `["/usr/local/bin/oxbow", "health"]`) {
			t.Errorf("%s: the health check is %s", name, check)
		}
		if !strings.Contains(strings.Join(s.of("LABEL"), " "), "org.opencontainers.image.source") {
			t.Errorf("%s has no labels", name)
		}
	}
	build := strings.Join(byName["build"].of("RUN"), "\n")
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "main.version=$VERSION", "/root-fs/usr/local/bin/oxbow", "./cmd/oxbow"} {
		if !strings.Contains(build, want) {
			t.Errorf("the build has no %s", want)
		}
	}
	// npm's settings are there before it installs: without them it runs the packages' scripts.
	if web := byName["web"].steps; len(web) < 3 || web[1][0] != "COPY" ||
		!slices.Contains(strings.Fields(web[1][1]), "web/.npmrc") || !strings.HasPrefix(web[2][1], "npm ci") {
		t.Errorf("the web stage is %q", web)
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(mustRead(t, "../../go.mod"))[1]
	if !strings.HasPrefix(byName["build"].base, "golang:"+goVersion) {
		t.Errorf("go.mod wants Go %s, the image has %s", goVersion, byName["build"].base)
	}
	for name, s := range mustLoad(t).Services {
		if s.Build == nil {
			continue
		}
		target, known := byName[s.Build.Target]
		if !known || s.Build.Args["VERSION"] == nil || !strings.HasPrefix(target.of("USER")[0], s.User) {
			t.Errorf("%s is built of %q", name, s.Build.Target)
		}
		if ffmpeg := strings.HasSuffix(s.Image, "-ffmpeg"); ffmpeg != (s.Build.Target == "oxbow-ffmpeg") {
			t.Errorf("%s's image %s is built of %s", name, s.Image, s.Build.Target)
		}
	}
	for _, s := range all {
		for _, copied := range s.of("COPY") {
			words := slices.DeleteFunc(strings.Fields(copied), func(word string) bool { return strings.HasPrefix(word, "--chown=") })
			if from, ok := strings.CutPrefix(words[0], "--from="); ok {
				if _, known := byName[from]; !known {
					t.Errorf("%s copies from %s", s.name, from)
				}
				continue
			}
			for _, source := range words[:len(words)-1] {
				if _, err := os.Stat(filepath.Join("../..", source)); err != nil || !inContext(t, source) {
					t.Errorf("%s copies %s, which the build does not get (%v)", s.name, source, err)
				}
			}
		}
	}
}

// Engines with containerd's store of images fail at two builds of one name at once: "already exists".
func TestComposeBuildsEachImageOnce(t *testing.T) {
	built, used := map[string]int{}, map[string]bool{}
	for _, s := range mustLoad(t).Services {
		if s.Build != nil {
			built[s.Image]++
		} else if strings.HasPrefix(s.Image, "oxbow:") {
			used[s.Image] = true
		}
	}
	if want := map[string]int{"oxbow:dev": 1, "oxbow:dev-ffmpeg": 1}; !maps.Equal(built, want) {
		t.Errorf("services build %v, want %v", built, want)
	}
	for image := range used {
		if built[image] == 0 {
			t.Errorf("%s is built by no service", image)
		}
	}
}

// inContext says that .dockerignore lets a path through.
func inContext(t *testing.T, name string) bool {
	t.Helper()
	name = strings.TrimSuffix(name, "/")
	top, _, _ := strings.Cut(name, "/")
	lines := strings.Split(mustRead(t, "../../.dockerignore"), "\n")
	if slices.Contains(lines, "!"+name) {
		return true
	}
	return top == "." || slices.Contains(lines, "!"+top) && !slices.Contains(lines, name) &&
		!slices.Contains(lines, filepath.Dir(name)+"/*")
}

// What the build gets is all that it needs: each package that the binary is made of, and no secret.
func TestDockerignoreLetsTheBinarysPackagesIn(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/oxbow")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/oxbow-video/oxbow/"
	ours := 0
	for name := range strings.FieldsSeq(string(out)) {
		if path, ok := strings.CutPrefix(name, module); ok {
			ours++
			if !inContext(t, path) {
				t.Errorf("%s is left out", path)
			}
		}
	}
	if !inContext(t, "web/dist/.gitkeep") {
		t.Error("web/build.mjs wants the directory web/dist")
	}
	if ours < 20 {
		t.Errorf("only %d packages: is the module another?", ours)
	}
	for _, name := range []string{"secrets", ".git", ".env", "data", "bin", "web/dist/index.html", "web/node_modules"} {
		if inContext(t, name) {
			t.Errorf("%s gets into the build", name)
		}
	}
}
