package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// program is what an image is on this machine.
type program struct {
	// entrypoint is what the image runs where the compose file does not say.
	entrypoint string
	// binary is where that name is.
	binary string
	// adapt changes what differs beside.
	adapt func(*Service, types.ServiceConfig, translation) error
}

type programTable struct {
	options Options
	images  map[string]program
}

// leftOutError is of a service that is not run here.
type leftOutError struct{ reason string }

func (e leftOutError) Error() string { return "left out: " + e.reason }

// programs maps images, without their tags, to programs.
func programs(o Options) programTable {
	return programTable{options: o, images: map[string]program{
		"oxbow":                     {entrypoint: "oxbow", binary: o.Oxbow},
		"postgres":                  {entrypoint: "postgres", adapt: adaptPostgres},
		"redis":                     {entrypoint: "redis-server", adapt: adaptRedis},
		"ghcr.io/versity/versitygw": {entrypoint: "versitygw", binary: o.VersityGW},
		"prom/prometheus":           {entrypoint: "prometheus"},
	}}
}

// of gives a service's program.
func (t programTable) of(s types.ServiceConfig) (program, error) {
	image := s.Image
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		image = image[:at]
	}
	if image == "grafana/grafana" {
		return program{}, leftOutError{"Debian has no Grafana; the dashboards are in deploy/grafana"}
	}
	p, known := t.images[image]
	if !known {
		return program{}, fmt.Errorf("image %s: no program of this machine stands for it: add it to deploy/stack/programs.go",
			s.Image)
	}
	if p.binary == "" && image != "postgres" {
		found, err := exec.LookPath(p.entrypoint)
		if err != nil && image == "prom/prometheus" {
			return program{}, leftOutError{"it is not installed (Debian: apt-get install prometheus)"}
		}
		if err != nil {
			return program{}, fmt.Errorf("%s is not installed (Debian: apt-get install redis-server)", p.entrypoint)
		}
		p.binary = found
	}
	return p, nil
}

// adaptRedis has Redis listen at its own address.
func adaptRedis(out *Service, _ types.ServiceConfig, t translation) error {
	out.Args = append(out.Args, "--bind", t.own, "--port", t.port("6379"))
	out.Ports = append(out.Ports, t.port("6379")+"/tcp")
	return nil
}

// searchPath is the PATH of the services: the binaries' own directory, and the usual ones.
func (o Options) searchPath() string {
	return filepath.Dir(o.Oxbow) + ":" + filepath.Dir(o.VersityGW) + ":" +
		"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
