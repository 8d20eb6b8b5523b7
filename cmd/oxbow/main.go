// Command oxbow is the whole of Oxbow in one binary: each role is a subcommand, and "serve" runs all of them in one
// process on embedded defaults.
//
// This package holds wiring and flags only: it is the one place where the components meet the adapters, and the one
// place that reads flags, the environment and the configuration file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/progress"
)

// version is set by the Makefile's build.
var version = "dev"

// commands is the command line.
type commands struct {
	Config configFile `name:"config" placeholder:"FILE" help:"Configuration file: YAML with the flags' names as keys."`
	Log    logFlags   `embed:"" prefix:"log-"`

	Serve    serveCommand    `cmd:"" group:"servers" help:"Run everything in one process: ingest, archiver, edge, API."`
	Demo     demoCommand     `cmd:"" group:"servers" help:"Run serve with a built-in publisher, so that there is a live picture at once."`
	Ingest   ingestCommand   `cmd:"" group:"servers" help:"A cluster's node: take publishers, package, record, serve edges."`
	Archiver archiverCommand `cmd:"" group:"servers" help:"Archive, expire and recover the recordings of a cluster."`
	Edge     edgeCommand     `cmd:"" group:"servers" help:"Cache and serve viewers."`
	API      apiCommand      `cmd:"" group:"servers" name:"api" help:"REST API, web page and directory service."`

	Operator operatorCommands `embed:""`

	Bench   benchCommand     `cmd:"" group:"tools" help:"Measure a server."`
	Inspect inspectCommand   `cmd:"" group:"tools" help:"Check a recording, wherever it lies."`
	Reindex reindexCommand   `cmd:"" group:"tools" help:"Rebuild the catalog's recordings from the cluster's directory and the archive."`
	Doctor  doctorCommand    `cmd:"" group:"tools" help:"Check this machine and the services for running a role, and say what to do."`
	Sample  sampleCommand    `cmd:"" group:"tools" help:"Publish the built-in clip to a cluster, as a show to look at."`
	Health  healthCommand    `cmd:"" group:"tools" help:"Ask a server on this machine whether it is ready: exit code 0, or 1 and the reason."`
	Migrate migrateCommand   `cmd:"" group:"tools" help:"Bring the catalog's schema up to date."`
	Version kong.VersionFlag `name:"version" env:"-" help:"Print the version and exit."`

	Completion completionCommand `cmd:"" group:"tools" help:"Print what has a shell complete this program's command lines."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"Answer a shell that completes a command line."`
	Help       helpCommand       `cmd:"" group:"tools" help:"Explain a command."`
	About      versionCommand    `cmd:"" group:"tools" name:"version" help:"Print the version, and of what this program was built."`
}

// isServer says that a command line is a server's. It errs, without harm, where a flag's value has a server's name.
func isServer(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return slices.Contains([]string{"serve", "demo", "ingest", "archiver", "edge", "api"}, arg)
	})
}

// logFlags say what is logged and how.
type logFlags struct {
	Level  string `default:"info" enum:"debug,info,warn,error" help:"Least level logged: ${enum}."`
	Format string `default:"text" enum:"text,json" help:"Log format: ${enum}."`
}

func (f logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.Level)); err != nil {
		panic("BUG: a log level outside its enum: " + err.Error())
	}
	options := &slog.HandlerOptions{Level: level}
	if f.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func main() {
	if isServer(os.Args) {
		allowTimerSlack()
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is runIn until the process is told to stop.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once: the first may wait for a slow disk.
	context.AfterFunc(ctx, stop)
	return runIn(ctx, args, stdout, stderr)
}

// runIn parses the command line and runs its command until it ends or the context does. It returns the exit code.
func runIn(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cli commands
	parser, err := newParser(&cli, stdout, stderr)
	if err != nil {
		panic("BUG: the command line's definition: " + err.Error())
	}
	return runParsed(ctx, parser, &cli, args, stdout, stderr)
}

// runParsed is runIn by a parser that is there already, of cli.
func runParsed(ctx context.Context, parser *kong.Kong, cli *commands, args []string, stdout, stderr io.Writer) int {
	parsed, err := parser.Parse(args)
	if err != nil {
		if leadOn(parser, args, stderr) {
			return exitUsage
		}
		_, _ = fmt.Fprintf(stderr, "oxbow: %v%s\nSee: oxbow %s--help\n", err, misplaced(args), commandOf(err))
		return exitUsage
	}
	screen := progress.NewScreen(stderr, columns(stderr))
	call := runContext{
		Context: ctx, stdout: stdout, stderr: screen, logger: cli.Log.logger(screen), screen: screen,
	}
	return exitCode(ctx, parsed.Run(call, call.process()), screen)
}

// misplaced advises on a command line whose first flag is in front of its command.
func misplaced(args []string) string {
	if len(args) > 1 && strings.HasPrefix(args[0], "-") {
		return " (flags are written behind their command)"
	}
	return ""
}

// runContext is what every command's Run gets. Kong passes arguments by type, hence one struct.
type runContext struct {
	context.Context //nolint:containedctx // it lives as long as the one call of Run
	stdout          io.Writer
	stderr          io.Writer
	logger          *slog.Logger
	// metrics is where a server registers what it tells; nil is a registry of its own.
	metrics *prometheus.Registry
	// screen is stderr, for what takes long.
	screen *progress.Screen
}

func newParser(cli any, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("oxbow"),
		kong.Description("Live video CDN with server-side recording: RTMP and SRT in, HLS and Low-Latency HLS out, every "+
			"show kept.\n\n"+
			"Begin with `oxbow demo`: a live picture at http://localhost:8080. `oxbow help COMMAND` explains a command.\n\n"+
			"Every flag of servers and tools is also an environment variable (--http is OXBOW_HTTP) and a key of the file "+
			"(http: \":8080\"). A flag wins over the environment, that over the file, that over the default."),
		kong.Vars{"version": versionLine()},
		kong.DefaultEnvars("OXBOW"),
		noEnvars(),
		secretFiles(),
		signedTexts(),
		helpGroups(),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}),
	)
}

// commandOf gives the command that a usage error belongs to, with a space behind it, for the hint.
func commandOf(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Command() != "" {
		command := parse.Context.Command() // it has the arguments as <name>, which a shell would take for a file
		if arguments := strings.IndexByte(command, '<'); arguments >= 0 {
			command = command[:arguments]
		}
		return strings.TrimSpace(command) + " "
	}
	return ""
}
