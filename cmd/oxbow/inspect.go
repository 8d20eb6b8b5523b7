package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/inspect"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progress"
)

// inspectCommand is `oxbow inspect`.
type inspectCommand struct {
	Target string `arg:"" name:"target" help:"A recording: its directory; s3://BUCKET/PREFIX/PUBLISHER/STREAM/ID?region=R&endpoint=URL or dir:PATH/PUBLISHER/STREAM/ID of the archive; or the http(s) URL of its folder or index.m3u8, in a bucket or at an edge."`
	Name   string `arg:"" name:"recording" optional:"" help:"PUBLISHER/STREAM/ID, if the target is the directory or archive that has the recording."`
	Fast   bool   `help:"Read manifest, index and playlists only, not the media."`
	JSON   bool   `name:"json" help:"Print the report as JSON."`

	quietFlag `embed:""`
}

// Help says what the exit code means.
func (inspectCommand) Help() string {
	return "Checks a recording: index against bytes, timeline, tracks against each other, gaps, playlists, files. It " +
		"writes nothing and may be run beside a server. Exit code 0: no errors (warnings are none); 1: errors were " +
		"found, or it can't be read; 2: wrong usage."
}

// Run inspects the recording and prints the report.
func (c *inspectCommand) Run(ctx runContext) error {
	var at atomic.Pointer[inspect.At]
	stop := ctx.show(c.quietFlag, "inspect", func() progress.State { return inspected(at.Load()) })
	report, cut := c.inspect(ctx, func(now inspect.At) { at.Store(&now) })
	stop()
	if report == nil {
		return cut
	}
	var err error
	if c.JSON {
		err = printJSON(ctx, report)
	} else {
		err = report.Print(ctx.stdout)
	}
	err = errors.Join(err, cut)
	if err == nil && report.Errors > 0 {
		err = fmt.Errorf("%s: %d errors", inspect.Redacted(c.Target), report.Errors)
	}
	return err
}

// inspected is where an inspection is, as it is shown; nil is before its first file.
func inspected(at *inspect.At) progress.State {
	switch {
	case at == nil:
		return progress.State{}
	case at.Segments:
		return progress.State{Done: at.Done, Total: at.Total, Unit: "segments", Text: at.Name}
	}
	return progress.State{Done: at.Done, Total: at.Total, Unit: progress.Bytes, Text: at.Name}
}

func (c *inspectCommand) inspect(ctx context.Context, tell func(inspect.At)) (report *inspect.Report, err error) {
	options := inspect.Options{Source: inspect.Redacted(c.Target), Fast: c.Fast, Progress: tell}
	if c.Name != "" {
		options.Source += " " + c.Name
	}
	folder, closeFolder, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeFolder()) }()
	report, err = inspect.Recording(ctx, folder, options)
	if web, ok := folder.(*inspect.Web); ok && errors.Is(err, media.ErrNotFound) {
		return inspect.Playlists(ctx, web, options)
	}
	if errors.Is(err, media.ErrNotFound) {
		err = fmt.Errorf("no recording there: name the folder that has recording.json: %w", err)
	}
	return report, err
}

// open finds the recording's files.
func (c *inspectCommand) open(ctx context.Context) (inspect.Folder, func() error, error) {
	if c.Name != "" {
		path, id, ok := cutLast(c.Name)
		_, err := media.ParseStreamPath(path)
		if _, idErr := media.ParseRecordingID(id); !ok || errors.Join(err, idErr) != nil {
			return nil, nil, usageError{fmt.Errorf("%q is no recording: write PUBLISHER/STREAM/ID", c.Name)}
		}
	}
	switch {
	case strings.HasPrefix(c.Target, "http://"), strings.HasPrefix(c.Target, "https://"):
		target := c.Target
		if c.Name != "" {
			target = strings.TrimSuffix(target, "/") + "/" + c.Name
		}
		web, err := inspect.OpenWeb(target)
		if err != nil {
			return nil, nil, usageError{err}
		}
		return web, web.Close, nil
	case strings.HasPrefix(c.Target, "s3:"):
		a, err := parseArchiveURL(c.Target)
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("the target: %w: use s3://BUCKET/PREFIX/PUBLISHER/STREAM/ID?region=REGION",
				err)}
		}
		a.prefix = strings.Trim(a.prefix+"/"+c.Name, "/")
		s3, err := a.openS3(ctx, media.DefaultArchive)
		if err != nil {
			return nil, nil, err
		}
		return s3, func() error { s3.Close(); return nil }, nil
	}
	dir := filepath.Join(strings.TrimPrefix(c.Target, "dir:"), filepath.FromSlash(c.Name))
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, nil, usageError{fmt.Errorf("%s is a file: name the recording's directory", dir)}
	}
	d, err := inspect.OpenDir(dir)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}

func cutLast(name string) (before, after string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}
