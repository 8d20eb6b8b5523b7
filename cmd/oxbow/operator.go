package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/oxbow-video/oxbow/internal/operator"
)

// operatorCommands are what operators do by the REST API, from any machine.
type operatorCommands struct {
	Publisher   operator.PublisherCommands   `cmd:"" group:"operate" help:"Publishers and their settings."`
	Stream      operator.StreamCommands      `cmd:"" group:"operate" help:"Streams and their settings."`
	Key         operator.KeyCommands         `cmd:"" group:"operate" help:"Stream keys, with which encoders publish."`
	Source      operator.SourceCommands      `cmd:"" group:"operate" help:"Where the server fetches streams itself."`
	Session     operator.SessionCommands     `cmd:"" group:"operate" help:"Publishers that are connected now."`
	Recording   operator.RecordingCommands   `cmd:"" group:"operate" help:"Recordings: list, hold, name, delete."`
	Clip        operator.ClipCommands        `cmd:"" group:"operate" help:"Clips of recordings."`
	Retention   operator.RetentionCommands   `cmd:"" group:"operate" help:"What is going to be archived and deleted."`
	Archive     operator.ArchiveCommands     `cmd:"" group:"operate" help:"The stores of finished recordings."`
	Node        operator.NodeCommands        `cmd:"" group:"operate" help:"Nodes of the clusters, and draining them."`
	Purge       operator.PurgeCommands       `cmd:"" group:"operate" help:"Have edges forget what they have cached."`
	Steering    operator.SteeringCommands    `cmd:"" group:"operate" help:"At which edges viewers are."`
	PlaybackKey operator.PlaybackKeyCommands `cmd:"" group:"operate" name:"playback-key" help:"Keys that playback tokens are signed with."`
	Token       operator.TokenCommands       `cmd:"" group:"operate" help:"API tokens, and playback tokens."`
	Webhook     operator.WebhookCommands     `cmd:"" group:"operate" help:"Where events are sent."`
	Event       operator.EventCommands       `cmd:"" group:"operate" help:"What happened, and what happens."`
	Viewers     operator.ShowViewers         `cmd:"" group:"operate" help:"Who watches, and how well."`
	Audit       operator.ListAudit           `cmd:"" group:"operate" help:"Who changed what, newest first."`
	Settings    operator.ListSettings        `cmd:"" group:"operate" help:"List the settings that there are."`
}

// helpGroups are the commands' headings in the help.
func helpGroups() kong.Option {
	return kong.ExplicitGroups([]kong.Group{
		{Key: "servers", Title: "Servers:"},
		{Key: "operate", Title: "Operate, by the REST API (--api URL, OXBOW_TOKEN):"},
		{Key: "tools", Title: "Tools:"},
	})
}

// noEnvars takes the environment variables from the operators' flags that say what one call is to do: a server's
// OXBOW_CLUSTER must not silently narrow a list. The configuration file does not set them either.
func noEnvars() kong.Option {
	settings := []string{"api", "token", "token-file", "timeout"}
	var ofOneCall func(*kong.Node)
	ofOneCall = func(n *kong.Node) {
		for _, flag := range n.Flags {
			if !slices.Contains(settings, flag.Name) {
				flag.Envs, flag.Tag.Envs = nil, nil
			}
		}
		for _, child := range n.Children {
			ofOneCall(child)
		}
	}
	return kong.PostBuild(func(k *kong.Kong) error {
		for _, command := range k.Model.Children {
			if command.Group != nil && command.Group.Key == "operate" {
				ofOneCall(command)
			}
		}
		return nil
	})
}

// signedTexts reads flags of the type "signed": their value may begin with a hyphen, which is else another flag.
func signedTexts() kong.Option {
	return kong.NamedMapper("signed", kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		token := ctx.Scan.Pop()
		text := fmt.Sprint(token.Value)
		if token.IsEOL() || strings.HasPrefix(text, "--") {
			return fmt.Errorf("missing value: %s", ctx.Value.Help)
		}
		target.SetString(text)
		return nil
	}))
}

// process is what the operators' commands get of this one.
func (ctx runContext) process() operator.Process {
	return operator.Process{
		Context: ctx.Context, Stdin: os.Stdin, Stdout: ctx.stdout, Stderr: ctx.stderr, Version: version,
		Progress: ctx.screen.Show,
	}
}
