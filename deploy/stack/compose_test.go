package main

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "../../docker-compose.yml"

func mustLoad(t *testing.T, env ...string) *types.Project {
	t.Helper()
	file, err := filepath.Abs(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	project, err := loadProject(t.Context(), file, []string{"*"}, env)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// listens says at which ports a service can be reached by others.
func listens(s types.ServiceConfig) map[string]bool {
	ports := map[string]bool{}
	for name, value := range s.Environment {
		if value != nil && strings.HasPrefix(*value, ":") {
			kind := "tcp"
			if name == "OXBOW_SRT" {
				kind = "udp"
			}
			ports[strings.TrimPrefix(*value, ":")+"/"+kind] = true
		}
	}
	for image, port := range map[string]string{"postgres:": "5432", "redis:": "6379", "grafana/": "3000"} {
		if strings.HasPrefix(s.Image, image) { // their images' own
			ports[port+"/tcp"] = true
		}
	}
	for _, arg := range s.Command {
		for _, found := range anyHost.FindAllStringSubmatch(arg, -1) {
			ports[strings.TrimPrefix(found[2], ":")+"/tcp"] = true
		}
	}
	return ports
}

func TestComposeHasTheServices(t *testing.T) {
	project := mustLoad(t)
	want := strings.Fields("api archiver-a archiver-b demo edge-1 edge-2 grafana ingest-a1 ingest-a2 ingest-b1 ingest-b2 " +
		"migrate postgres prometheus redis s3 s3-bucket")
	if got := slices.Sorted(maps.Keys(project.Services)); !slices.Equal(got, want) {
		t.Errorf("services %q, want %q", got, want)
	}
	without, err := loadProject(t.Context(), project.ComposeFiles[0], nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := without.Services["demo"]; there {
		t.Error("the demo runs without its profile")
	}
}

// Each container can do no more than it needs to, ends in its time, and is known to be well.
func TestComposeServicesAreKeptSmall(t *testing.T) {
	for name, s := range mustLoad(t).Services {
		oneShot := s.Restart == types.RestartPolicyOnFailure
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged ||
			!slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s is allowed more than it needs", name)
		}
		if root := s.User == "" || strings.HasPrefix(s.User, "0"); root && name != "s3" && name != "s3-bucket" {
			t.Errorf("%s runs as root", name)
		}
		if !oneShot && s.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s is restarted by the policy %q", name, s.Restart)
		}
		checked := s.HealthCheck != nil && !s.HealthCheck.Disable
		if !oneShot && name != "demo" && !checked {
			t.Errorf("%s has no health check", name)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" {
			t.Errorf("%s's log has no bound", name)
		}
		if !oneShot && name != "demo" && (s.Deploy == nil || s.Deploy.Resources.Limits == nil) {
			t.Errorf("%s has no limit of memory", name)
		}
		if drain := s.Environment["OXBOW_DRAIN_TIMEOUT"]; drain != nil {
			most, err := time.ParseDuration(*drain)
			if err != nil || s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < most+20*time.Second {
				t.Errorf("%s drains for up to %s, and is killed after %v", name, *drain, s.StopGracePeriod)
			}
		}
		for _, mounted := range s.Volumes {
			if mounted.Type == types.VolumeTypeBind && !mounted.ReadOnly {
				t.Errorf("%s may write to %s", name, mounted.Source)
			}
		}
		for other, d := range s.DependsOn {
			of := mustLoad(t).Services[other]
			if d.Condition == types.ServiceConditionHealthy && (of.HealthCheck == nil || of.HealthCheck.Disable) ||
				d.Condition == types.ServiceConditionCompletedSuccessfully && of.Restart != types.RestartPolicyOnFailure {
				t.Errorf("%s waits for %s by %s", name, other, d.Condition)
			}
		}
	}
}

// Who is named with a port is a service on a network of both, which listens there; what is published is listened at.
func TestComposePortsMeet(t *testing.T) {
	project := mustLoad(t)
	published := map[string]string{}
	for name, s := range project.Services {
		for _, p := range s.Ports {
			at := fmt.Sprintf("%d/%s", p.Target, p.Protocol)
			if !listens(s)[at] {
				t.Errorf("%s publishes %s, where it does not listen", name, at)
			}
			if other := published[p.Published+"/"+p.Protocol]; other != "" {
				t.Errorf("%s and %s are published at %s/%s", name, other, p.Published, p.Protocol)
			}
			published[p.Published+"/"+p.Protocol] = name
			if !net.ParseIP(p.HostIP).IsLoopback() {
				t.Errorf("%s is published to the world without being asked to: %s", name, p.HostIP)
			}
			if _, public := s.Networks["public"]; !public {
				t.Errorf("%s publishes %s from a network without a way out", name, at)
			}
		}
		texts := slices.Concat([]string(s.Command), []string(s.Entrypoint))
		if s.HealthCheck != nil {
			texts = append(texts, s.HealthCheck.Test...)
		}
		for _, value := range s.Environment {
			if value != nil {
				texts = append(texts, *value)
			}
		}
		for _, found := range hostPort.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
			host, port := found[1], strings.TrimPrefix(found[2], ":")
			if host == "localhost" {
				continue // for browsers
			}
			meets(t, project, name, host, port)
		}
	}
	for _, found := range hostPort.FindAllStringSubmatch(prometheusTargets(t), -1) {
		meets(t, project, "prometheus", found[1], strings.TrimPrefix(found[2], ":"))
	}
}

// meets fails the test unless a service gets to another's port.
func meets(t *testing.T, project *types.Project, name, host, port string) {
	t.Helper()
	other, known := project.Services[host]
	if !known || !listens(other)[port+"/tcp"] {
		t.Errorf("%s asks %s:%s, where nobody listens", name, host, port)
		return
	}
	for network := range project.Services[name].Networks {
		if _, shared := other.Networks[network]; shared {
			return
		}
	}
	t.Errorf("%s asks %s, and shares no network with it", name, host)
}

// prometheusTargets gives what Prometheus is told to ask.
func prometheusTargets(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestComposeMountsMeet holds what is mounted against what is there, and the paths in use against what is mounted.
func TestComposeMountsMeet(t *testing.T) {
	project := mustLoad(t)
	volumes, shared := map[string]bool{}, map[string]map[string]bool{}
	for name, s := range project.Services {
		writable := slices.Clone([]string(s.Tmpfs))
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				volumes[v.Source] = true
				writable = append(writable, v.Target)
			} else if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s is given %v", name, err)
			}
		}
		for _, variable := range []string{"OXBOW_RECORDINGS", "OXBOW_DISK_CACHE"} {
			dir := s.Environment[variable]
			if dir != nil && !slices.ContainsFunc(writable, func(at string) bool { return strings.HasPrefix(*dir, at+"/") }) {
				t.Errorf("%s keeps %s at %s, which is on no volume", name, variable, *dir)
			}
		}
		if cluster := s.Environment["OXBOW_CLUSTER"]; cluster != nil {
			if shared[*cluster] == nil {
				shared[*cluster] = map[string]bool{}
			}
			shared[*cluster][s.Volumes[0].Source+" "+*s.Environment["OXBOW_RECORDINGS"]] = true
		}
	}
	if len(shared) != 2 || len(shared["a"]) != 1 || len(shared["b"]) != 1 || maps.Equal(shared["a"], shared["b"]) {
		t.Errorf("the clusters' directories are %v, want one of each", shared)
	}
	for name := range project.Volumes {
		if !volumes[name] {
			t.Errorf("volume %s is nobody's", name)
		}
	}
}

// TestSecretsAreMadeAndKept runs deploy/secrets.sh twice: all that the file names is there, readable in containers and for
// nobody else of the machine, and stays.
func TestSecretsAreMadeAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	project := mustLoad(t, "STACK_SECRETS="+dir)
	runScript(t, dir)
	first := map[string]string{}
	for name, secret := range project.Secrets {
		info, err := os.Stat(secret.File)
		if err != nil || info.Mode().Perm() != 0o644 || info.Size() < 20 {
			t.Errorf("secret %s: %v (%v)", name, info, err)
			continue
		}
		first[name] = mustRead(t, secret.File)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v (%v)", info, err)
	}
	runScript(t, dir)
	for name, text := range first {
		if mustRead(t, filepath.Join(dir, name)) != text {
			t.Errorf("secret %s is another after the second run", name)
		}
	}
	catalog, err := url.Parse(strings.TrimSpace(first["catalog_url"]))
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := catalog.User.Password(); password != strings.TrimSpace(first["postgres_password"]) {
		t.Error("the catalog's URL has another password than the server")
	}
	used := map[string]bool{}
	for name, s := range project.Services {
		for _, secret := range s.Secrets {
			used[secret.Source] = true
		}
		for variable, value := range s.Environment {
			if value == nil || !strings.HasPrefix(*value, "/run/secrets/") {
				continue
			}
			secret := strings.TrimPrefix(*value, "/run/secrets/")
			if !slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == secret }) {
				t.Errorf("%s is not given %s for %s", name, secret, variable)
			}
		}
	}
	if len(used) != len(project.Secrets) {
		t.Errorf("secrets in use: %v of %d", slices.Sorted(maps.Keys(used)), len(project.Secrets))
	}
}

// TestEnvironmentExampleIsWhole holds .env.example against the variables of the compose file and their defaults.
func TestEnvironmentExampleIsWhole(t *testing.T) {
	want := map[string]string{}
	for _, found := range regexp.MustCompile(`\$\{([A-Z0-9_]+):-([^}]*)\}`).FindAllStringSubmatch(mustRead(t, composeFile), -1) {
		if before, known := want[found[1]]; known && before != found[2] {
			t.Errorf("%s is %q here and %q there by default", found[1], before, found[2])
		}
		want[found[1]] = found[2]
	}
	got, explained := map[string]string{}, false
	lines := bufio.NewScanner(strings.NewReader(mustRead(t, "../../.env.example")))
	for lines.Scan() {
		line := lines.Text()
		name, value, set := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "#"):
			explained = true
		case line == "":
			explained = false
		case !set || !explained:
			t.Errorf("%q is no variable below what explains it", line)
		default:
			got[name] = value
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf(".env.example has %v\nthe compose file has %v", got, want)
	}
}

// TestPlanIsOfThisMachine works the compose file out with programs that need not be there.
func TestPlanIsOfThisMachine(t *testing.T) {
	if _, err := postgresBinaries(); err != nil {
		skip(t, err.Error())
	}
	dir := t.TempDir()
	redis := filepath.Join(dir, "redis-server")
	if err := os.WriteFile(redis, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	file, err := filepath.Abs(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := newPlan(t.Context(), Options{
		File: file, Dir: "/s", Network: "127.1.2", Oxbow: "/b/oxbow", VersityGW: "/b/versitygw",
	})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Service{}
	for _, s := range plan.Services {
		byName[s.Name] = s
		text := strings.Join(slices.Concat(s.Args, s.Env), "\n")
		for _, left := range []string{"/run/secrets", "/data", "${", "localhost"} {
			if strings.Contains(strings.ReplaceAll(text, "/s/volumes", ""), left) && s.Name != "postgres" {
				t.Errorf("%s has %q still:\n%s", s.Name, left, text)
			}
		}
		if found := regexp.MustCompile(`(^|[\s=]):[0-9]+`).FindString(text); found != "" {
			t.Errorf("%s listens at all addresses: %q", s.Name, found)
		}
	}
	a1, edge := byName["ingest-a1"], byName["edge-1"]
	for _, want := range []string{
		"OXBOW_RTMP=" + a1.Address + ":1935", "OXBOW_ADVERTISE=http://" + a1.Address + ":8081",
		"OXBOW_RECORDINGS=/s/volumes/recordings-a/recordings", "OXBOW_CATALOG_FILE=/s/secrets-here/catalog_url",
	} {
		if !slices.Contains(a1.Env, want) {
			t.Errorf("ingest-a1 has no %s in %q", want, a1.Env)
		}
	}
	if want := "OXBOW_PUBLIC_URL=http://" + edge.Address + ":8080"; !slices.Contains(edge.Env, want) {
		t.Errorf("edge-1 has no %s in %q", want, edge.Env)
	}
	if !byName["migrate"].OneShot || byName["api"].OneShot || a1.Grace != 45*time.Second {
		t.Errorf("migrate, api, ingest-a1: %+v %+v %+v", byName["migrate"], byName["api"], a1)
	}
	if _, there := byName["demo"]; there || plan.LeftOut["grafana"] == "" || plan.LeftOut["prometheus"] == "" {
		t.Errorf("left out: %v", plan.LeftOut)
	}
	level := map[string]int{}
	for i, services := range plan.levels() {
		for _, s := range services {
			level[s.Name] = i
		}
	}
	if level["postgres"] != 0 || level["migrate"] != 1 || level["api"] != 2 || level["edge-1"] != 3 {
		t.Errorf("the order is %v", level)
	}
}

func TestTranslation(t *testing.T) {
	tr := translation{
		hosts: map[string]string{"api": "127.0.9.1", "redis": "127.0.9.2"}, own: "127.0.9.9",
		mounts: []mount{{"/data", "/here"}, {"/run/secrets/a", "/s/a"}},
	}
	for given, want := range map[string]string{
		":8080": "127.0.9.9:8080", "serve --port :7070 --x": "serve --port 127.0.9.9:7070 --x",
		"--listen=:9090": "--listen=127.0.9.9:9090", "http://api:8081,http://other:1": "http://127.0.9.1:8081,http://other:1",
		"redis://:pass@redis:6379": "redis://:pass@127.0.9.2:6379", "redis-server": "redis-server", "myapi:8081": "myapi:8081",
		"/data": "/here", "/data/recordings": "/here/recordings", "/var/data": "/var/data", "/database": "/database",
		"sed x /run/secrets/a | y": "sed x /s/a | y", "/run/secrets/ab": "/run/secrets/ab", "": "",
	} {
		if got := tr.text(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}

// skip leaves a test out where a tool is missing, unless all are required.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
		t.Fatal(why)
	}
	t.Skip(why)
}
