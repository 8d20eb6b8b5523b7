package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// The publisher and stream that a first start makes, so that there is somewhere to publish at once.
const (
	demoPublisher = "demo"
	demoStream    = "live"
	// demoKeyLabel marks the built-in publisher's key, which each start of demo makes anew.
	demoKeyLabel = "oxbow demo"
)

// firstStart is what was made on the first start and can be printed only now: secrets are kept as hashes.
type firstStart struct {
	adminToken string // empty if the operator set it, or a start before made it
	streamKey  string // empty on later starts
}

// firstStart makes the admin token, the demo publisher and its stream, where the catalog has no token yet.
func (n *node) firstStart(ctx context.Context, token string) (firstStart, error) {
	var made firstStart
	known, err := n.catalog.HasTokens(ctx)
	if err != nil {
		return made, err
	}
	if made.adminToken, err = n.firstToken(ctx, token); err != nil {
		return made, err
	}
	if known {
		return made, nil
	}
	path, err := n.ensureDemoStream(ctx)
	if err != nil {
		return made, err
	}
	made.streamKey = newSecret("ox_")
	_, err = n.catalog.AddKey(ctx, path, "first start", made.streamKey)
	return made, err
}

// ensureAdmin makes the admin token where the catalog has none, once the catalog answers, and then runs until ctx ends.
// It calls looked once the catalog has answered, or did not.
func (n *node) ensureAdmin(ctx context.Context, token string, site net.Addr, out io.Writer, looked func()) error {
	for away := false; ; away = true {
		made, err := n.firstToken(ctx, token)
		looked()
		switch {
		case err == nil && made != "":
			_, _ = fmt.Fprintf(out, "\n%s\n", manage(calledAs(os.Args[0]), "http://"+localhost(site), made))
			fallthrough
		case err == nil:
			<-ctx.Done()
			return nil
		case !errors.Is(err, media.ErrUnavailable):
			return err
		}
		if !away {
			n.logger.Warn("admin token is looked for until the catalog is back", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Second):
		}
	}
}

// firstToken makes the admin token where the catalog has none, or sets the operator's. It gives the one that was made.
func (n *node) firstToken(ctx context.Context, token string) (made string, err error) {
	if token != "" {
		return "", n.ensureToken(ctx, token)
	}
	made = newSecret("oxt_")
	added, err := n.catalog.AddFirstToken(ctx, media.StartTokenLabel, made)
	if err != nil || !added { // another process may be starting, too
		return "", err
	}
	return made, nil
}

func (n *node) ensureToken(ctx context.Context, token string) error {
	known, err := n.catalog.CheckToken(ctx, token)
	if errors.Is(err, media.ErrDenied) || err == nil && !known.Admin() {
		_, err = n.catalog.ReplaceToken(ctx, media.StartTokenLabel, token)
	}
	if errors.Is(err, media.ErrConflict) {
		return fmt.Errorf("OXBOW_ADMIN_TOKEN: %w", err)
	}
	return err
}

func (n *node) ensureDemoStream(ctx context.Context) (media.StreamPath, error) {
	path := media.StreamPath{Publisher: demoPublisher, Stream: demoStream}
	listed := true
	now := time.Now()
	err := n.catalog.CreatePublisher(ctx, media.Publisher{
		Name: demoPublisher, CreatedAt: now, UpdatedAt: now, Settings: media.SettingsPatch{Listed: &listed},
	})
	if err != nil && !errors.Is(err, media.ErrExists) {
		return path, err
	}
	if _, err := n.catalog.CreateStream(ctx, path, media.SettingsPatch{}); err != nil && !errors.Is(err, media.ErrExists) {
		return path, err
	}
	return path, nil
}

// demoKey makes the built-in publisher's key for this run; the last run's is removed.
func (n *node) demoKey(ctx context.Context) (string, error) {
	path, err := n.ensureDemoStream(ctx)
	if err != nil {
		return "", err
	}
	keys, err := n.catalog.Keys(ctx, path)
	if err != nil {
		return "", err
	}
	for _, k := range keys {
		if k.Label == demoKeyLabel {
			if err := n.catalog.RemoveKey(ctx, path, k.ID); err != nil {
				return "", err
			}
		}
	}
	key := newSecret("ox_")
	_, err = n.catalog.AddKey(ctx, path, demoKeyLabel, key)
	return key, err
}

// newSecret makes a token or key of 130 random bits.
func newSecret(prefix string) string { return prefix + rand.Text() }

// printed is what print tells beside the secrets: where the process listens.
type printed struct {
	public, rtmp, rtmps, srt net.Addr // rtmps may be nil
	srtEncrypted             bool
}

// print tells where to publish and where to watch.
func (f firstStart) print(w io.Writer, at printed) {
	site, server := "http://"+localhost(at.public), "rtmp://"+localhost(at.rtmp)
	key, note := f.streamKey, "The key is shown only now: note it."
	program := calledAs(os.Args[0])
	if key == "" {
		key = "YOUR-STREAM-KEY"
		note = "The first start showed the key. Another is made by: " + program + " key create demo/live"
	}
	// linger: else ffmpeg throws away, at its end, what it has not sent.
	srtURL := "srt://" + localhost(at.srt) + "?linger=2&streamid=publish:demo/live:" + key
	if at.srtEncrypted {
		srtURL += "&passphrase=PASSPHRASE"
	}
	_, _ = fmt.Fprintf(w, `
Oxbow %s is up.

  Watch      %s/
             %s/demo/live/index.m3u8
  Publish    OBS: service "Custom", server %s/live, stream key %s
             ffmpeg -re -i FILE -c:v libx264 -g 60 -c:a aac -f flv %s/live/%s
             ffmpeg -re -i FILE -c:v libx264 -g 60 -c:a aac -f mpegts '%s'
             %s
`, version, site, site, server, key, server, key, srtURL, note)
	if at.rtmps != nil {
		_, _ = fmt.Fprintf(w, "  Over TLS   rtmps://%s/live\n", localhost(at.rtmps))
	}
	_, _ = fmt.Fprintln(w, manage(program, site, f.adminToken))
}

// calledAs gives what a person types for the program that was started by that name: a path where the shell does not
// find it by itself.
func calledAs(name string) string {
	base := filepath.Base(name)
	if _, err := exec.LookPath(base); err != nil {
		return name
	}
	return base
}

// manage tells how to manage the server at the site, with the admin token if that was made just now.
func manage(program, site, token string) string {
	env := "OXBOW_TOKEN=YOUR-TOKEN"
	note := "             The first start showed the token, if OXBOW_ADMIN_TOKEN did not set it. " +
		"A start with that sets another.\n"
	if token != "" {
		env = "OXBOW_TOKEN=" + token
		note = "             The token may do everything, and is shown only now: note it, or choose your own with " +
			"OXBOW_ADMIN_TOKEN.\n"
	}
	if site != "http://localhost:8080" { // where the commands look by themselves
		env = "OXBOW_API=" + site + " " + env
	}
	return fmt.Sprintf("  Manage     %s %s publisher list\n             or by the REST API: %s/docs\n%s",
		env, program, site, note)
}

// localhost gives a listener's address as a person on this machine would type it.
func localhost(a net.Addr) string {
	host, port, err := net.SplitHostPort(reachable(a))
	if err != nil {
		return reachable(a)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
