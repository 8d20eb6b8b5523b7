package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Plan is what the compose file comes to on this machine.
type Plan struct {
	// Dir is the stack's own directory, Root the repository's; both are absolute.
	Dir, Root string
	// Path is the services' PATH.
	Path     string
	Services []Service
	// Shift is what was added to every port.
	Shift int
	// LeftOut says of services why they are not run.
	LeftOut map[string]string
}

// Service is one process to run.
type Service struct {
	Name    string
	Address string // its own, of the loopback network
	Args    []string
	Env     []string
	Workdir string
	// Needs says for each service that it starts after when that is well: "healthy", "completed" or "started".
	Needs map[string]string
	// Restart is "always", "on-failure" or "no".
	Restart string
	// OneShot says that others wait for its end.
	OneShot bool
	Signal  string
	Grace   time.Duration
	Health  *Health
	// Database is of the PostgreSQL server.
	Database *Database
	// Ports are "8080/tcp" and their like, which it listens at.
	Ports []string
}

// Health is a check by a command.
type Health struct {
	Args              []string
	Interval, Timeout time.Duration
	Retries           int
}

// Options say what is run and where.
type Options struct {
	File    string // the compose file
	Dir     string // the stack's directory
	Network string // the first three bytes of the services' addresses, like 127.20.0
	Shift   int    // is added to every port
	// Oxbow and VersityGW are the binaries.
	Oxbow, VersityGW string
	Profiles         []string
}

// loadProject reads the compose file. Nothing of the user's environment gets into it.
func loadProject(ctx context.Context, file string, profiles []string, env []string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{file},
		cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithEnv(env), cli.WithProfiles(profiles))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return project, nil
}

// newPlan works out what each service is here.
func newPlan(ctx context.Context, o Options) (*Plan, error) {
	everything, err := loadProject(ctx, o.File, []string{"*"}, nil)
	if err != nil {
		return nil, err
	}
	hosts := addresses(everything, o.Network)
	env := []string{"STACK_SECRETS=" + filepath.Join(o.Dir, "secrets")}
	t := translation{shift: o.Shift}
	for name, address := range hosts { // no ports are forwarded: viewers come to the services themselves
		variable := "STACK_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_URL"
		env = append(env, variable+"=http://"+address+":"+t.port("8080"))
	}
	project, err := loadProject(ctx, o.File, o.Profiles, env)
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(filepath.Dir(o.File))
	if err != nil {
		return nil, err
	}
	p := &Plan{Dir: o.Dir, Root: root, LeftOut: map[string]string{}, Shift: o.Shift}
	programs := programs(o)
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		s := project.Services[name]
		program, err := programs.of(s)
		var out leftOutError
		if errors.As(err, &out) {
			p.LeftOut[name] = out.reason
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		service, err := p.service(s, program, translation{
			hosts: hosts, own: hosts[name], mounts: p.mounts(s), shift: o.Shift,
		})
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		p.Services = append(p.Services, service)
	}
	for i := range p.Services {
		for other := range p.LeftOut {
			delete(p.Services[i].Needs, other)
		}
	}
	return p, p.checkNeeds()
}

// addresses gives each service one of its own.
func addresses(project *types.Project, network string) map[string]string {
	hosts := make(map[string]string)
	for i, name := range slices.Sorted(maps.Keys(project.Services)) {
		hosts[name] = fmt.Sprintf("%s.%d", network, i+2)
	}
	return hosts
}

// service translates one service.
func (p *Plan) service(s types.ServiceConfig, program program, t translation) (Service, error) {
	out := Service{
		Name: s.Name, Address: t.own, Workdir: p.Dir, Needs: map[string]string{}, Restart: restart(s.Restart),
		Signal: "TERM", Grace: 10 * time.Second,
	}
	if s.StopGracePeriod != nil {
		out.Grace = time.Duration(*s.StopGracePeriod)
	}
	args := slices.Concat([]string(s.Entrypoint), []string(s.Command))
	if len(s.Entrypoint) == 0 && program.entrypoint != "" && (len(args) == 0 || args[0] != program.entrypoint) {
		args = slices.Insert(args, 0, program.entrypoint)
	}
	out.Args = t.all(args)
	for key, value := range s.Environment {
		if value != nil {
			out.Env = append(out.Env, key+"="+t.text(*value))
		}
	}
	slices.Sort(out.Env)
	for other, d := range s.DependsOn {
		condition, ok := map[string]string{
			types.ServiceConditionHealthy: healthy, types.ServiceConditionCompletedSuccessfully: completed,
			types.ServiceConditionStarted: started,
		}[d.Condition]
		if !ok {
			return out, fmt.Errorf("depends on %s by the unknown condition %q", other, d.Condition)
		}
		out.Needs[other] = condition
	}
	out.Health = t.health(s.HealthCheck)
	for _, port := range s.Ports {
		out.Ports = append(out.Ports, t.port(strconv.FormatUint(uint64(port.Target), 10))+"/"+port.Protocol)
	}
	if program.adapt != nil {
		return out, program.adapt(&out, s, t)
	}
	return out, nil
}

func restart(policy string) string {
	switch policy {
	case types.RestartPolicyAlways, types.RestartPolicyUnlessStopped:
		return "always"
	case "", types.RestartPolicyNo:
		return "no"
	}
	return "on-failure"
}

func (t translation) health(h *types.HealthCheckConfig) *Health {
	const second = time.Second
	if h == nil || h.Disable || len(h.Test) < 2 || h.Test[0] == "NONE" {
		return nil
	}
	out := &Health{Interval: 10 * second, Timeout: 5 * second, Retries: 3, Args: t.all(h.Test[1:])}
	if h.Test[0] == "CMD-SHELL" {
		out.Args = append([]string{"/bin/sh", "-c"}, out.Args...)
	}
	if h.Interval != nil {
		out.Interval = time.Duration(*h.Interval)
	}
	if h.Timeout != nil {
		out.Timeout = time.Duration(*h.Timeout)
	}
	if h.Retries != nil {
		out.Retries = int(min(*h.Retries, 100))
	}
	return out
}

// checkNeeds marks those whose end others wait for, and refuses what can never be.
func (p *Plan) checkNeeds() error {
	for i := range p.Services {
		for other, condition := range p.Services[i].Needs {
			at := slices.IndexFunc(p.Services, func(s Service) bool { return s.Name == other })
			if at < 0 {
				return fmt.Errorf("service %s depends on %s, which is not run here", p.Services[i].Name, other)
			}
			if condition == healthy && p.Services[at].Health == nil {
				return fmt.Errorf("service %s waits for %s to be healthy, which has no health check", p.Services[i].Name, other)
			}
			p.Services[at].OneShot = p.Services[at].OneShot || condition == completed
		}
	}
	return nil
}

// levels gives the services in the order of their start: each needs only those of levels before.
func (p *Plan) levels() (levels [][]Service) {
	level := make(map[string]int)
	var of func(name string) int
	of = func(name string) int {
		if l, known := level[name]; known {
			return l
		}
		for _, s := range p.Services {
			if s.Name == name {
				for other := range s.Needs { // compose-go refuses circles
					level[name] = max(level[name], of(other)+1)
				}
			}
		}
		return level[name]
	}
	for _, s := range p.Services {
		l := of(s.Name)
		for len(levels) <= l {
			levels = append(levels, nil)
		}
		levels[l] = append(levels[l], s)
	}
	return levels
}
