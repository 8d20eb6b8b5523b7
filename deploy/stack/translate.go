package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// translation turns what is written for containers into what is so on this machine: a service's name in front of a port
// is its address, a port that all interfaces have is of the service's own one, and a path in a container is where that
// volume, secret or file lies here.
type translation struct {
	hosts  map[string]string
	own    string
	mounts []mount
	shift  int // is added to every port
}

// mount is a container's path and this machine's.
type mount struct{ inside, here string }

var (
	// hostPort is a name in front of a port, as in redis:6379 and http://api:8081.
	hostPort = regexp.MustCompile(`([A-Za-z0-9_.-]+)(:[0-9]{2,5})\b`)
	// anyHost is a port without a name, standing alone.
	anyHost = regexp.MustCompile(`(^|[\s=])(:[0-9]{2,5})($|\s)`)
)

func (t translation) all(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, text := range texts {
		out = append(out, t.text(text))
	}
	return out
}

func (t translation) text(text string) string {
	text = t.names(text)
	text = anyHost.ReplaceAllStringFunc(text, func(found string) string {
		part := anyHost.FindStringSubmatch(found)
		return part[1] + t.own + ":" + t.port(part[2][1:]) + part[3]
	})
	for _, m := range t.mounts {
		text = m.put(text)
	}
	return text
}

// names puts addresses in the place of names.
func (t translation) names(text string) string {
	return hostPort.ReplaceAllStringFunc(text, func(found string) string {
		name, port, _ := strings.Cut(found, ":")
		if address, ok := t.hosts[name]; ok {
			return address + ":" + t.port(port)
		}
		return found
	})
}

// put replaces the container's path where it stands as a whole or in front of a slash, and not within another path.
func (m mount) put(text string) string {
	var out strings.Builder
	for {
		at := strings.Index(text, m.inside)
		if at < 0 {
			out.WriteString(text)
			return out.String()
		}
		end := at + len(m.inside)
		before := at == 0 || strings.ContainsAny(text[at-1:at], " =:,\"'\t")
		after := end == len(text) || strings.ContainsAny(text[end:end+1], " /:,;)\"'\t\n")
		out.WriteString(text[:at])
		if before && after {
			out.WriteString(m.here)
		} else {
			out.WriteString(m.inside)
		}
		text = text[end:]
	}
}

// mounts says where a service's paths are here, the longest first.
func (p *Plan) mounts(s types.ServiceConfig) (mounts []mount) {
	for _, v := range s.Volumes {
		here := filepath.Join(p.Dir, "volumes", v.Source)
		if v.Type == types.VolumeTypeBind {
			here = filepath.Join(p.Dir, "files", p.relative(v.Source))
		}
		mounts = append(mounts, mount{v.Target, here})
	}
	for _, secret := range s.Secrets {
		inside := secret.Target
		if inside == "" {
			inside = secret.Source
		}
		if !strings.HasPrefix(inside, "/") {
			inside = "/run/secrets/" + inside
		}
		mounts = append(mounts, mount{inside, filepath.Join(p.Dir, "secrets-here", secret.Source)})
	}
	slices.SortFunc(mounts, func(a, b mount) int { return len(b.inside) - len(a.inside) })
	return mounts
}

// relative gives a file's name below the repository.
func (p *Plan) relative(name string) string {
	if rel, err := filepath.Rel(p.Root, name); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return filepath.Base(name)
}
