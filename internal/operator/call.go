package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/progress"
)

// Connection is the flags that every command has.
type Connection struct {
	API       string        `name:"api" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the API (default: ${default})."`
	Token     string        `name:"token" env:"OXBOW_TOKEN,OXBOW_ADMIN_TOKEN" placeholder:"TOKEN" help:"API token. Others on this machine see command lines: rather use OXBOW_TOKEN or --token-file."`
	TokenFile string        `name:"token-file" placeholder:"FILE" help:"File that has the token; - is stdin. It goes before --token."`
	Timeout   time.Duration `name:"timeout" default:"30s" placeholder:"DURATION" help:"How long to wait for one answer (default: ${default})."`
	JSON      bool          `name:"json" help:"Print the API's own JSON: an object, a list as one array, a stream as one object a line."`
	Quiet     bool          `name:"quiet" short:"q" help:"Print ids only; of what is made with a secret, the secret."`
	Wide      bool          `name:"wide" help:"Print more columns."`
}

// maxTokenFile bounds a token's file, in bytes.
const maxTokenFile = 4096

// Process is what a command gets of the process that it runs in.
type Process struct {
	Context context.Context //nolint:containedctx // it lives as long as the one call
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string
	// Progress shows how far what takes long is, until stop is called; nil shows nothing.
	Progress func(name string, ask func() progress.State) (stop func())
}

// Call is one run of a command.
type Call struct {
	Connection
	process Process
	client  *Client
}

// ProvideCall makes the call that a command's Run gets. The client is made when it is needed: not all commands ask.
func (c Connection) ProvideCall(p Process) (*Call, error) {
	if c.JSON && c.Quiet {
		return nil, usage("--json and --quiet: use one of them")
	}
	if c.Timeout <= 0 {
		return nil, usage("--timeout %v: use one like 30s", c.Timeout)
	}
	return &Call{Connection: c, process: p}, nil
}

func (c *Call) ask() (*Client, error) {
	if c.client != nil {
		return c.client, nil
	}
	var err error
	c.client, err = c.Client(c.process)
	return c.client, err
}

// Client makes the client that the flags say.
func (c Connection) Client(p Process) (*Client, error) {
	token := c.Token
	if c.TokenFile != "" {
		text, err := p.readFile(c.TokenFile, maxTokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	return NewClient(ClientConfig{URL: c.API, Token: token, Timeout: c.Timeout, Version: p.Version})
}

// readFile reads a file, or stdin by the name "-".
func (p Process) readFile(name string, limit int64) (_ []byte, err error) {
	in := p.Stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // it was only read
		in = file
	}
	text, err := readAtMost(in, limit)
	if errors.Is(err, errLong) {
		err = fmt.Errorf("%s: over %d bytes: is it the right file?", name, limit)
	}
	return text, err
}

func (c *Call) do(r Request) (json.RawMessage, error) {
	defer c.progress("waiting for the API", func() progress.State { return progress.State{} })()
	return c.send(r)
}

// send is do for who shows progress of its own.
func (c *Call) send(r Request) (json.RawMessage, error) {
	client, err := c.ask()
	if err != nil {
		return nil, err
	}
	return client.Do(c.process.Context, r)
}

// progress shows how far what takes long is, until stop is called.
func (c *Call) progress(name string, ask func() progress.State) (stop func()) {
	if c.Quiet || c.process.Progress == nil {
		return func() {}
	}
	return c.process.Progress(name, ask)
}

// note tells a person something that is no data.
func (c *Call) note(format string, args ...any) {
	if !c.Quiet && !c.JSON {
		_, _ = fmt.Fprintf(c.process.Stderr, format+"\n", args...)
	}
}

// print writes the answer: as JSON, as the id, or by what show writes.
func (c *Call) print(answer json.RawMessage, id func(object) string, show func(io.Writer, object) error) error {
	if c.JSON {
		_, err := fmt.Fprintf(c.process.Stdout, "%s\n", strings.TrimSpace(string(answer)))
		return err
	}
	o, err := decodeObject(answer)
	if err != nil {
		return errors.Join(errShape, err)
	}
	if c.Quiet {
		_, err = fmt.Fprintln(c.process.Stdout, lines(id(o)))
		return err
	}
	return show(c.process.Stdout, o)
}

// show gets one thing and prints all of it.
func (c *Call) show(path string, id func(object) string) error {
	answer, err := c.do(Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	return c.print(answer, id, showAll)
}

// create makes something. A secret in the answer is told with the advice to note it; --quiet prints it, else the id.
func (c *Call) create(path string, body any, secret string, id func(object) string) error {
	answer, err := c.do(Request{Method: http.MethodPost, Path: path, Body: body, Creates: true})
	if err != nil {
		return err
	}
	main := func(o object) string {
		if text := o.text(secret); secret != "" && text != "" {
			return text
		}
		return id(o)
	}
	return c.print(answer, main, func(w io.Writer, o object) error {
		if err := showAll(w, o); err != nil {
			return err
		}
		if secret != "" && o.text(secret) != "" {
			c.note("The %s is shown only now: note it.", strings.ReplaceAll(secret, "_", " "))
		}
		return nil
	})
}

// act does what has no answer for people, or none that matters, and says that it is done.
func (c *Call) act(r Request, format string, args ...any) error {
	answer, err := c.do(r)
	if err != nil {
		return err
	}
	switch {
	case c.JSON && answer != nil:
		_, err = fmt.Fprintf(c.process.Stdout, "%s\n", strings.TrimSpace(string(answer)))
	case !c.JSON && !c.Quiet:
		_, err = fmt.Fprintf(c.process.Stdout, format+"\n", args...)
	}
	return err
}

// place makes a path of its literal parts and the names in between, which are escaped: place("/v1/tokens/", id).
func place(parts ...string) string {
	for i := 1; i < len(parts); i += 2 {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "")
}

// by gives the id of a thing by its field.
func by(name string) func(object) string {
	return func(o object) string { return o.text(name) }
}

// byPath gives a stream's.
func byPath(stream string) func(object) string {
	return func(o object) string { return o.text("publisher") + "/" + o.text(stream) }
}
