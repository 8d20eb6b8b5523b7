package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// streamRow is a stream in answers: effective settings, and which of them are its own.
type streamRow struct {
	Publisher string        `json:"publisher"`
	Name      string        `json:"name"`
	URL       string        `json:"url" doc:"What players open: the show that is live, else the latest recording"`
	CreatedAt *time.Time    `json:"created_at"`
	UpdatedAt *time.Time    `json:"updated_at"`
	Revision  int64         `json:"revision" doc:"Grows with every change of its own; its ETag without the quotes"`
	Overrides SettingsPatch `json:"overrides" doc:"The settings that are the stream's own, not its publisher's"`
	Encrypted bool          `json:"srt_encrypted" doc:"SRT publishers need the stream's own passphrase"`
	Settings
}

func (s *Server) newStreamRow(st media.Stream) streamRow {
	return streamRow{
		Publisher: st.Path.Publisher,
		Name:      st.Path.Stream,
		URL:       s.streamURL(st.Path),
		CreatedAt: moment(st.CreatedAt),
		UpdatedAt: moment(st.UpdatedAt),
		Revision:  st.Revision,
		Overrides: SettingsPatch{st.Overrides},
		Encrypted: st.SRTPassphrase != "",
		Settings:  Settings{st.Settings},
	}
}

type streamOutput struct {
	ETag string `header:"ETag"`
	Body streamRow
}

type streamsOutput struct {
	Body list[streamRow]
}

type createdStreamOutput struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     struct {
		StreamRow
		Key string `json:"key" doc:"The first stream key. It is shown this once"`
	}
}

type createStreamInput struct {
	PublisherPath
	Body struct {
		Name string `json:"name" doc:"1 to 63 of a-z 0-9 _ -, the first a letter or digit"`
		StreamPatch
	}
}

// StreamPatch is what a request sets of a stream. A passphrase has 10 to 79 characters; empty is the server's.
type StreamPatch struct {
	SRTPassphrase *string `json:"srt_passphrase,omitempty" doc:"What its SRT publishers encrypt with; never told"`
	SettingsPatch
}

// StreamChange is what a request changes of a stream.
type StreamChange struct {
	Resets
	StreamPatch
}

func (c StreamChange) media() media.SettingsPatch {
	return SettingsChange{c.Resets, c.SettingsPatch}.media()
}

// checkStream says what is out of its range.
func (s *Server) checkStream(ctx context.Context, p StreamPatch) error {
	if p.SRTPassphrase != nil {
		if err := media.CheckSRTPassphrase(*p.SRTPassphrase); err != nil {
			return err
		}
	}
	return s.checkSettings(ctx, p.SettingsPatch.SettingsPatch)
}

type listStreamsInput struct {
	PublisherPath
	Page
}

type patchStreamInput struct {
	StreamPath
	IfMatch
	DryRun
	Body StreamChange
}

type deleteStreamInput struct {
	StreamPath
	IfMatch
}

func (s *Server) streamRoutes(v1 huma.API) {
	const all, one = "/v1/publishers/{publisher}/streams", "/v1/publishers/{publisher}/streams/{stream}"
	route(s, v1, http.MethodPost, all, "create-stream", "Create a stream and its first key", s.createStream)
	route(s, v1, http.MethodGet, all, "list-streams", "List a publisher's streams", s.listStreams)
	route(s, v1, http.MethodGet, one, "get-stream", "Get a stream", s.getStream)
	route(s, v1, http.MethodPatch, one, "change-stream", "Change a stream's own settings", s.patchStream)
	route(s, v1, http.MethodDelete, one, "delete-stream", "Delete a stream and its keys", s.deleteStream)
}

func (s *Server) createStream(ctx context.Context, in *createStreamInput) (*createdStreamOutput, error) {
	publisher, err := in.publisher()
	if err != nil {
		return nil, err
	}
	if err := media.CheckStreamName(in.Body.Name); err != nil {
		return nil, at("body.name", err)
	}
	if err := s.checkStream(ctx, in.Body.StreamPatch); err != nil {
		return nil, err
	}
	path := media.StreamPath{Publisher: publisher, Stream: in.Body.Name}
	st, err := s.deps.Streams.CreateStream(ctx, path, in.Body.SettingsPatch.SettingsPatch)
	switch {
	case errors.Is(err, media.ErrNotFound):
		return nil, at("path.publisher", err)
	case errors.Is(err, media.ErrInvalid):
		return nil, err // it names its field
	case err != nil:
		return nil, at("body.name", err)
	}
	key := newKey()
	if _, err = s.deps.Keys.AddKey(ctx, path, firstKeyLabel, key); err == nil && in.Body.SRTPassphrase != nil {
		st, err = s.deps.Streams.ChangeStream(ctx, path, media.StreamChange{SRTPassphrase: in.Body.SRTPassphrase})
	}
	if err != nil {
		// A stream without its promised key would make the client's next try an "already exists".
		if undo := s.deps.Streams.DeleteStream(context.WithoutCancel(ctx), path); undo != nil {
			err = errors.Join(err, fmt.Errorf("undo creation of stream %s: %w", path, undo))
		}
		return nil, err
	}
	if in.Body.Playback != nil {
		s.tellPlayback(ctx, publisher)
	}
	out := &createdStreamOutput{Location: "/v1/publishers/" + publisher + "/streams/" + in.Body.Name}
	out.ETag = etag(st.Revision)
	out.Body.StreamRow = s.newStreamRow(st)
	out.Body.Key = key
	return out, nil
}

func (s *Server) listStreams(ctx context.Context, in *listStreamsInput) (*streamsOutput, error) {
	publisher, err := in.publisher()
	if err != nil {
		return nil, err
	}
	items, err := s.deps.Streams.Streams(ctx, publisher, in.Cursor, in.Limit+1)
	if err != nil {
		return nil, at("path.publisher", err)
	}
	name := func(st media.Stream) string { return st.Path.Stream }
	return &streamsOutput{Body: paged(items, in.Limit, name, s.newStreamRow)}, nil
}

func (s *Server) getStream(ctx context.Context, in *StreamPath) (*streamOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	st, err := s.deps.Streams.Stream(ctx, path)
	if err != nil {
		return nil, at("path.stream", err)
	}
	return &streamOutput{ETag: etag(st.Revision), Body: s.newStreamRow(st)}, nil
}

func (s *Server) patchStream(ctx context.Context, in *patchStreamInput) (*changedStream, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	patch := in.Body.media()
	if err := cmp.Or(s.checkStream(ctx, in.Body.StreamPatch), checkLimits(ctx, patch), patch.Check()); err != nil {
		return nil, err
	}
	out := &changedStream{}
	var st media.Stream
	if in.DryRun.DryRun {
		var preview media.Preview
		st, preview, err = s.deps.Retention.PreviewStream(ctx, path, patch, in.revisions...)
		out.Body.DryRun = newPreviewRow(preview)
	} else {
		change := media.StreamChange{Settings: patch, SRTPassphrase: in.Body.SRTPassphrase}
		st, err = s.deps.Streams.ChangeStream(ctx, path, change, in.revisions...)
		if err == nil && changesPlayback(patch) {
			s.tellPlayback(ctx, path.Publisher)
		}
	}
	switch {
	case errors.Is(err, media.ErrInvalid):
		return nil, err // it names its field
	case err != nil:
		return nil, located("path.stream", err)
	}
	if !in.DryRun.DryRun {
		out.ETag = etag(st.Revision)
	}
	out.Body.StreamRow = s.newStreamRow(st)
	return out, nil
}

func (s *Server) deleteStream(ctx context.Context, in *deleteStreamInput) (*nothing, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if err := s.deps.Streams.DeleteStream(ctx, path, in.revisions...); err != nil {
		return nil, located("path.stream", err)
	}
	s.kick(path)
	s.sourcesChanged()
	return &nothing{}, nil
}

func (s *Server) kick(path media.StreamPath) {
	if s.deps.Kick != nil {
		s.deps.Kick(path)
	}
}
