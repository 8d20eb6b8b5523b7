package kubernetes

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// all gives a pod's containers with those that run first.
func (one workload) all() []corev1.Container {
	return slices.Concat(one.pod.Spec.InitContainers, one.pod.Spec.Containers)
}

// checkPods holds the pods against Kubernetes' restricted standard, and what they mount against what there is.
func (w *world) checkPods(t *testing.T) {
	for _, one := range w.workloads {
		spec := one.pod.Spec
		s := spec.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile == nil ||
			spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken ||
			spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
			t.Errorf("the pods of %s are not confined: %+v", one.name, s)
		}
		for _, c := range one.all() {
			cs := c.SecurityContext
			if cs == nil || *cs.AllowPrivilegeEscalation || !*cs.ReadOnlyRootFilesystem ||
				!slices.Equal(cs.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s/%s is not confined", one.name, c.Name)
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s/%s has no bounds", one.name, c.Name)
			}
			for _, m := range c.VolumeMounts {
				if !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
					t.Errorf("%s/%s mounts %s, which there is not", one.name, c.Name, m.Name)
				}
			}
		}
		for _, v := range spec.Volumes {
			if v.PersistentVolumeClaim == nil {
				continue
			}
			claim, found := w.claims[v.PersistentVolumeClaim.ClaimName]
			if !found || !slices.Equal(claim.Spec.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}) {
				t.Errorf("%s has the claim %s, which is not there for many", one.name, v.PersistentVolumeClaim.ClaimName)
			}
		}
		w.checkProbes(t, one)
	}
}

func (w *world) checkProbes(t *testing.T, one workload) {
	if one.selector == nil {
		return // it ends
	}
	c := one.pod.Spec.Containers[0]
	if !slices.Contains(c.Args, "--admin=:9090") {
		t.Errorf("%s has its admin port on loopback, where nobody probes", one.name)
	}
	for path, p := range map[string]*corev1.Probe{
		"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe, "/healthz ": c.StartupProbe,
	} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != strings.TrimSpace(path) || !one.hasPort(p.HTTPGet.Port.StrVal) {
			t.Errorf("%s is not probed by %s", one.name, path)
		}
	}
}

// flagsOf gives the flags of a command of docs/flags.md, which is held against the command line by its own test.
func flagsOf(t *testing.T, command string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	row := regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)")
	for _, section := range strings.Split(string(text), "\n## ") {
		name, table, _ := strings.Cut(section, "\n")
		if name == "oxbow "+command || name == "Of all commands" {
			for _, match := range row.FindAllStringSubmatch(table, -1) {
				found = append(found, match[1])
			}
		}
	}
	if len(found) < 5 {
		t.Fatalf("docs/flags.md has %d flags of oxbow %s", len(found), command)
	}
	return found
}

// checkFlags holds arguments and variables against the program's.
func (w *world) checkFlags(t *testing.T) {
	for _, one := range w.workloads {
		for _, c := range one.all() {
			flags := flagsOf(t, c.Args[0])
			given := make(map[string]bool)
			take := func(name string) {
				if !slices.Contains(flags, name) {
					t.Errorf("%s/%s has --%s, which oxbow %s does not know", one.name, c.Name, name, c.Args[0])
				}
				if given[name] {
					t.Errorf("%s/%s has --%s twice", one.name, c.Name, name)
				}
				given[name] = true
			}
			for _, arg := range c.Args[1:] {
				name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
				take(name)
			}
			variables := c.Env
			for _, from := range c.EnvFrom {
				config, found := w.configs[from.ConfigMapRef.Name]
				if !found {
					t.Errorf("%s reads the ConfigMap %s, which there is not", one.name, from.ConfigMapRef.Name)
				}
				for name := range config.Data {
					variables = append(variables, corev1.EnvVar{Name: name})
				}
			}
			known := make(map[string]bool)
			for _, v := range variables {
				known[v.Name] = true
				if name, ours := strings.CutPrefix(v.Name, "OXBOW_"); ours {
					name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
					if !slices.Contains(flags, name) { // --cluster-token-file is a flag, the others are files of flags
						name = strings.TrimSuffix(name, "-file")
					}
					take(name)
				}
				if strings.HasSuffix(v.Name, "_FILE") && v.Value != "" {
					one.checkSecretFile(t, v.Value)
				}
			}
			for _, used := range regexp.MustCompile(`\$\(([A-Z_]+)\)`).FindAllStringSubmatch(strings.Join(c.Args, " "), -1) {
				if !known[used[1]] {
					t.Errorf("%s/%s uses $(%s), which it does not have", one.name, c.Name, used[1])
				}
			}
		}
	}
}

// checkSecretFile looks that a file which a variable names is in the volume of secrets.
func (one workload) checkSecretFile(t *testing.T, file string) {
	t.Helper()
	for _, v := range one.pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			for _, item := range source.Secret.Items {
				if file == "/run/secrets/oxbow/"+item.Path {
					return
				}
			}
		}
	}
	t.Errorf("%s reads %s, which is in no volume of its", one.name, file)
}

// checkSecrets holds the secrets against docs/kubernetes.md, which says how to make each.
func (w *world) checkSecrets(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range w.workloads {
		for _, v := range one.pod.Spec.Volumes {
			if v.Projected == nil {
				continue
			}
			for _, source := range v.Projected.Sources {
				for _, item := range source.Secret.Items {
					how := fmt.Sprintf("create secret generic %s --from-file=%s=", source.Secret.Name, item.Key)
					if !strings.Contains(string(text), how) {
						t.Errorf("docs/kubernetes.md does not say: %s", how)
					}
				}
			}
		}
	}
}

// checkStops holds the time that a pod has to stop against what its drain may take.
func (w *world) checkStops(t *testing.T) {
	for _, one := range w.workloads {
		if one.selector == nil {
			continue
		}
		need := 25 * time.Second // for a volume that hangs, and what comes behind it
		c := one.pod.Spec.Containers[0]
		if c.Lifecycle != nil {
			need += time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		} else if len(c.Ports) > 1 {
			t.Errorf("%s does not wait for balancers to learn that it stops", one.name)
		}
		for _, arg := range c.Args {
			if text, found := strings.CutPrefix(arg, "--drain-timeout="); found {
				drain, err := time.ParseDuration(text)
				if err != nil {
					t.Fatal(err)
				}
				need += drain
			}
		}
		if given := *one.pod.Spec.TerminationGracePeriodSeconds; time.Duration(given)*time.Second < need {
			t.Errorf("%s is killed after %d s, and may take %v to stop", one.name, given, need)
		}
	}
}
