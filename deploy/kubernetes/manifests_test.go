package kubernetes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// workload is a thing that makes pods.
type workload struct {
	name     string
	selector *metav1.LabelSelector // nil for a Job
	pod      corev1.PodTemplateSpec
}

// world is what an overlay renders to, decoded.
type world struct {
	workloads []workload
	services  map[string]corev1.Service
	configs   map[string]corev1.ConfigMap
	claims    map[string]corev1.PersistentVolumeClaim
	budgets   []policyv1.PodDisruptionBudget
	policies  []networkingv1.NetworkPolicy
	ingresses []networkingv1.Ingress
	scalers   []autoscalingv2.HorizontalPodAutoscaler
	sets      []appsv1.StatefulSet
	monitors  []podMonitor
}

// podMonitor is what we use of the Prometheus operator's.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// render makes a directory's manifests, as kubectl apply -k does.
func render(t *testing.T, dir string) [][]byte {
	t.Helper()
	found, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, r := range found.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

// decode refuses fields that Kubernetes' types do not have, and kinds that this test does not know.
func decode(t *testing.T, manifests [][]byte) *world {
	t.Helper()
	w := &world{
		services: map[string]corev1.Service{}, configs: map[string]corev1.ConfigMap{},
		claims: map[string]corev1.PersistentVolumeClaim{},
	}
	for _, text := range manifests {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(text, &kind); err != nil {
			t.Fatal(err)
		}
		if err := w.add(kind.APIVersion+" "+kind.Kind, text); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
	return w
}

type unknownKindError string

func (e unknownKindError) Error() string { return "kind " + string(e) + " is not known" }

func (w *world) add(kind string, text []byte) error {
	var (
		deployment appsv1.Deployment
		set        appsv1.StatefulSet
		job        batchv1.Job
		service    corev1.Service
		config     corev1.ConfigMap
		claim      corev1.PersistentVolumeClaim
		budget     policyv1.PodDisruptionBudget
		policy     networkingv1.NetworkPolicy
		ingress    networkingv1.Ingress
		scaler     autoscalingv2.HorizontalPodAutoscaler
		monitor    podMonitor
	)
	into := map[string]any{
		"apps/v1 Deployment": &deployment, "apps/v1 StatefulSet": &set, "batch/v1 Job": &job, "v1 Service": &service,
		"v1 ConfigMap": &config, "v1 PersistentVolumeClaim": &claim, "policy/v1 PodDisruptionBudget": &budget,
		"networking.k8s.io/v1 NetworkPolicy": &policy, "networking.k8s.io/v1 Ingress": &ingress,
		"autoscaling/v2 HorizontalPodAutoscaler": &scaler, "v1 Namespace": &corev1.Namespace{},
		"monitoring.coreos.com/v1 PodMonitor": &monitor,
	}[kind]
	if into == nil {
		return unknownKindError(kind)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return err
	}
	switch into {
	case any(&deployment):
		w.workloads = append(w.workloads, workload{deployment.Name, deployment.Spec.Selector, deployment.Spec.Template})
	case any(&set):
		w.sets = append(w.sets, set)
		w.workloads = append(w.workloads, workload{set.Name, set.Spec.Selector, set.Spec.Template})
	case any(&job):
		w.workloads = append(w.workloads, workload{job.Name, nil, job.Spec.Template})
	case any(&service):
		w.services[service.Name] = service
	case any(&config):
		w.configs[config.Name] = config
	case any(&claim):
		w.claims[claim.Name] = claim
	case any(&budget):
		w.budgets = append(w.budgets, budget)
	case any(&policy):
		w.policies = append(w.policies, policy)
	case any(&ingress):
		w.ingresses = append(w.ingresses, ingress)
	case any(&scaler):
		w.scalers = append(w.scalers, scaler)
	case any(&monitor):
		w.monitors = append(w.monitors, monitor)
	}
	return nil
}

// selected gives the workloads whose pods a selector has.
func (w *world) selected(t *testing.T, selector *metav1.LabelSelector) (found []workload) {
	t.Helper()
	match, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range w.workloads {
		if match.Matches(labels.Set(one.pod.Labels)) {
			found = append(found, one)
		}
	}
	return found
}

// hasPort says that a pod has a port of that name.
func (one workload) hasPort(name string) bool {
	return slices.ContainsFunc(one.pod.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
	})
}

// TestManifests renders all that is there and holds it against Kubernetes' types; the example overlay, whole, against
// itself, the program's flags and the documentation.
func TestManifests(t *testing.T) {
	kustomizations, err := filepath.Glob("*/*/kustomization.yaml")
	if err != nil || len(kustomizations) < 5 {
		t.Fatalf("%v, %v", kustomizations, err)
	}
	for _, dir := range []string{"base", "cluster", "clusters/a", "clusters/b"} {
		decode(t, render(t, dir))
	}
	w := decode(t, render(t, "overlays/two-clusters"))
	t.Run("selectors", w.checkSelectors)
	t.Run("ports", w.checkPorts)
	t.Run("pods", w.checkPods)
	t.Run("flags", w.checkFlags)
	t.Run("scaling", w.checkScaling)
	t.Run("stops", w.checkStops)
	t.Run("secrets", w.checkSecrets)
}

func (w *world) checkSelectors(t *testing.T) {
	for _, one := range w.workloads {
		if one.selector == nil {
			continue
		}
		if got := w.selected(t, one.selector); len(got) != 1 || got[0].name != one.name {
			t.Errorf("the selector of %s has the pods of %d workloads", one.name, len(got))
		}
		if budgets := w.budgetsOf(t, one); budgets != 1 {
			t.Errorf("%s has %d PodDisruptionBudgets", one.name, budgets)
		}
	}
	for _, b := range w.budgets {
		if len(w.selected(t, b.Spec.Selector)) != 1 {
			t.Errorf("the PodDisruptionBudget %s is of %d workloads", b.Name, len(w.selected(t, b.Spec.Selector)))
		}
	}
	for _, set := range w.sets {
		service := w.services[set.Spec.ServiceName]
		if service.Spec.ClusterIP != corev1.ClusterIPNone || service.Spec.Selector["oxbow.video/cluster"] !=
			set.Spec.Template.Labels["oxbow.video/cluster"] {
			t.Errorf("%s names its pods by %q, which is not its headless service", set.Name, set.Spec.ServiceName)
		}
		want := "ingest-" + set.Spec.Template.Labels["oxbow.video/cluster"]
		if set.Spec.ServiceName != want { // --advertise makes it of the cluster's name
			t.Errorf("%s advertises %s, and its service is %s", set.Name, want, set.Spec.ServiceName)
		}
	}
	for _, m := range w.monitors {
		for _, one := range w.selected(t, &m.Spec.Selector) {
			for _, e := range m.Spec.Endpoints {
				if one.selector != nil && !one.hasPort(e.Port) {
					t.Errorf("the PodMonitor reads port %s of %s", e.Port, one.name)
				}
			}
		}
		if len(w.selected(t, &m.Spec.Selector)) != len(w.workloads) {
			t.Error("the PodMonitor does not have all pods")
		}
	}
}

func (w *world) budgetsOf(t *testing.T, one workload) (n int) {
	for _, b := range w.budgets {
		if slices.ContainsFunc(w.selected(t, b.Spec.Selector), func(other workload) bool { return other.name == one.name }) {
			n++
		}
	}
	return n
}

func (w *world) checkPorts(t *testing.T) {
	for name, s := range w.services {
		pods := w.selected(t, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		if len(pods) != 1 {
			t.Errorf("the service %s has the pods of %d workloads", name, len(pods))
		}
		for _, p := range s.Spec.Ports {
			if len(pods) == 1 && !pods[0].hasPort(p.TargetPort.StrVal) {
				t.Errorf("the service %s sends to port %s, which %s has not", name, p.TargetPort.StrVal, pods[0].name)
			}
		}
	}
	closed := make(map[string]bool)
	for _, p := range w.policies {
		pods := w.selected(t, &p.Spec.PodSelector)
		if len(pods) == 0 {
			t.Errorf("the NetworkPolicy %s is of no pod", p.Name)
		}
		for _, one := range pods {
			closed[one.name] = true
			for _, rule := range p.Spec.Ingress {
				for _, from := range rule.From {
					if from.PodSelector != nil && len(w.selected(t, from.PodSelector)) == 0 {
						t.Errorf("the NetworkPolicy %s lets in nobody's pods: %v", p.Name, from.PodSelector)
					}
				}
				for _, port := range rule.Ports {
					if !one.hasPort(port.Port.StrVal) {
						t.Errorf("the NetworkPolicy %s opens port %s, which %s has not", p.Name, port.Port.StrVal, one.name)
					}
				}
			}
		}
	}
	for _, one := range w.workloads {
		if !closed[one.name] {
			t.Errorf("no NetworkPolicy closes the ports of %s", one.name)
		}
	}
	for _, i := range w.ingresses {
		for _, rule := range i.Spec.Rules {
			for _, path := range rule.HTTP.Paths {
				service := path.Backend.Service
				if !slices.ContainsFunc(w.services[service.Name].Spec.Ports, func(p corev1.ServicePort) bool {
					return p.Name == service.Port.Name
				}) {
					t.Errorf("the Ingress sends %s to %s, port %s: there is none", path.Path, service.Name, service.Port.Name)
				}
			}
		}
	}
}

func (w *world) checkScaling(t *testing.T) {
	rules, err := os.ReadFile("prometheus-adapter-rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := os.ReadFile("../../cacheproxy/servedmetrics.go")
	if err != nil {
		t.Fatal(err)
	}
	const counter = "oxbow_cacheproxy_sent_bytes_total"
	if !strings.Contains(string(rules), "seriesQuery: "+counter+"{") || !strings.Contains(string(metrics), `"`+counter+`"`) {
		t.Errorf("the adapter's rule reads no counter of the edge's")
	}
	for _, s := range w.scalers {
		if !slices.ContainsFunc(w.workloads, func(one workload) bool { return one.name == s.Spec.ScaleTargetRef.Name }) {
			t.Errorf("the HorizontalPodAutoscaler scales %s", s.Spec.ScaleTargetRef.Name)
		}
		for _, m := range s.Spec.Metrics {
			if !strings.Contains(string(rules), "name: {as: "+m.Pods.Metric.Name+"}") {
				t.Errorf("the adapter's rules do not make %s", m.Pods.Metric.Name)
			}
		}
	}
	if len(w.scalers) != 1 {
		t.Errorf("%d HorizontalPodAutoscalers", len(w.scalers))
	}
}
