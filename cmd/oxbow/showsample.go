package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/operator"
)

const (
	// sampleKeyLabel marks the keys that sample makes: each start removes that of the last.
	sampleKeyLabel = "oxbow sample"
	// sampleRetry is the pause before the next node is tried.
	sampleRetry = time.Second
)

// sampleCommand is `oxbow sample`: what demo has built in, for clusters.
type sampleCommand struct {
	Stream    string        `arg:"" default:"demo/live" placeholder:"PUBLISHER/STREAM" help:"The show, made where there is none (default: ${default})."`
	To        []string      `required:"" placeholder:"HOST:PORT,..." help:"RTMP ports of the cluster's nodes; when one is gone it goes on at the next."`
	API       string        `name:"api" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the API (default: ${default})."`
	Token     string        `env:"OXBOW_TOKEN,OXBOW_ADMIN_TOKEN" placeholder:"TOKEN" help:"API token; rather use OXBOW_TOKEN or --token-file."`
	TokenFile string        `placeholder:"FILE" help:"File that has the token."`
	Duration  time.Duration `env:"-" placeholder:"DURATION" help:"How long to publish (default: until it is stopped)."`
}

// Run publishes the clip in a loop until the context ends.
func (c *sampleCommand) Run(ctx runContext) error {
	path, err := media.ParseStreamPath(c.Stream)
	if err != nil {
		return usageError{err}
	}
	for _, node := range c.To {
		if _, _, err := net.SplitHostPort(node); err != nil {
			return usageError{fmt.Errorf("--to %.200q: use HOST:PORT, like ingest:1935", node)}
		}
	}
	clip, err := parseSample(sampleFLV)
	if err != nil {
		return fmt.Errorf("read the built-in sample: %w", err)
	}
	key, err := c.freshKey(ctx, path)
	if err != nil {
		return err
	}
	running := ctx.Context
	if c.Duration > 0 {
		var cancel context.CancelFunc
		running, cancel = context.WithTimeout(running, c.Duration)
		defer cancel()
	}
	for i := 0; running.Err() == nil; i++ {
		node := c.To[i%len(c.To)]
		ctx.logger.Info("the sample is published", "stream", path, "node", node)
		err := clip.publish(running, &url.URL{Scheme: "rtmp", Host: node, Path: "/live", Fragment: key})
		if running.Err() != nil {
			return nil
		}
		ctx.logger.Warn("the publisher lost its connection", "node", node, "err", err)
		select {
		case <-running.Done():
		case <-time.After(sampleRetry):
		}
	}
	return nil
}

// freshKey makes publisher and stream where they are missing, and a key for this run in the place of the last one's.
func (c *sampleCommand) freshKey(ctx runContext, path media.StreamPath) (string, error) {
	client, err := operator.Connection{API: c.API, Token: c.Token, TokenFile: c.TokenFile}.Client(ctx.process())
	if err != nil {
		return "", err
	}
	streams := "/v1/publishers/" + path.Publisher + "/streams"
	keys := streams + "/" + path.Stream + "/keys"
	if err := ensure(ctx, client, "/v1/publishers", path.Publisher); err != nil {
		return "", err
	}
	if err := ensure(ctx, client, streams, path.Stream); err != nil {
		return "", err
	}
	if err := revokeSampleKeys(ctx, client, keys); err != nil {
		return "", err
	}
	answer, err := client.Do(ctx, operator.Request{
		Method: http.MethodPost, Path: keys, Body: map[string]string{"label": sampleKeyLabel}, Creates: true,
	})
	if err != nil {
		return "", err
	}
	var made struct{ Key string }
	if err := json.Unmarshal(answer, &made); err != nil || made.Key == "" {
		return "", fmt.Errorf("make a key of %s: the API's answer has none (%w)", path, err)
	}
	return made.Key, nil
}

// ensure makes a publisher or a stream unless it is there.
func ensure(ctx context.Context, client *operator.Client, path, name string) error {
	_, err := client.Do(ctx, operator.Request{
		Method: http.MethodPost, Path: path, Body: map[string]string{"name": name}, Creates: true,
	})
	var told *operator.APIError
	if errors.As(err, &told) && told.Status == http.StatusConflict {
		return nil
	}
	return err
}

// revokeSampleKeys removes the keys of runs before.
func revokeSampleKeys(ctx context.Context, client *operator.Client, keys string) error {
	answer, err := client.Do(ctx, operator.Request{
		Method: http.MethodGet, Path: keys,
	})
	if err != nil {
		return err
	}
	var list struct{ Items []struct{ ID, Label string } }
	if err := json.Unmarshal(answer, &list); err != nil {
		return fmt.Errorf("GET %s: %w", keys, err)
	}
	for _, k := range list.Items {
		if k.Label != sampleKeyLabel {
			continue
		}
		if _, err := client.Do(ctx, operator.Request{Method: http.MethodDelete, Path: keys + "/" + k.ID}); err != nil {
			return err
		}
	}
	return nil
}
