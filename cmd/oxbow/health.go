package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxHealthAnswer bounds what is read of the admin port's answer, in bytes.
const maxHealthAnswer = 4 << 10

// healthCommand is `oxbow health`: what a container's health check and a service manager run beside a server.
type healthCommand struct {
	Admin   listenAddress `default:"127.0.0.1:9090" placeholder:"ADDR" help:"The server's --admin (default: ${default})."`
	Live    bool          `env:"-" help:"Ask whether the process answers at all, not whether it can do its work."`
	Timeout time.Duration `env:"-" default:"3s" placeholder:"DURATION" help:"How long to wait for the answer (default: ${default})."`
}

// Help implements kong.HelpProvider.
func (healthCommand) Help() string {
	return "It asks /readyz (with --live: /healthz) of the port, and ends with code 0 when the server is ready, else " +
		"with 1 and the reason. A server is ready from when it can do its role's work until it drains."
}

// Run asks once.
func (c *healthCommand) Run(ctx runContext) error {
	if c.Timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %v: use one like 3s", c.Timeout)}
	}
	path := "/readyz"
	if c.Live {
		path = "/healthz"
	}
	asking, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	answer, err := askHealth(asking, "http://"+c.Admin.local()+path)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("--admin %s: no answer within %v: does the process hang?", c.Admin, c.Timeout)
	}
	if err != nil {
		return fmt.Errorf("--admin %s: %w", c.Admin, err)
	}
	if _, err := fmt.Fprintln(ctx.stdout, answer); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// local gives the host:port at which this machine reaches what listens on the address.
func (a listenAddress) local() string {
	host, port, err := net.SplitHostPort(string(a))
	if err != nil {
		panic("BUG: an address that was not checked: " + err.Error())
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// askHealth gives a good answer's text.
func askHealth(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	// No proxy, whatever the environment says, and nobody is followed elsewhere: it is this machine that is asked.
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxHealthAnswer))
	_ = resp.Body.Close()
	if err != nil {
		return "", err
	}
	answer := strings.TrimSpace(string(text))
	switch resp.StatusCode {
	case http.StatusOK:
		return answer, nil
	case http.StatusServiceUnavailable:
		return "", errors.New(answer)
	}
	return "", fmt.Errorf("it is no admin port of oxbow: it answered %s", resp.Status)
}
