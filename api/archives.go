package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// archiveRow is a store of finished recordings in answers.
type archiveRow struct {
	Name      string     `json:"name" doc:"What the settings archive and mirror say; default is that of an empty name"`
	Cluster   string     `json:"cluster" doc:"Whose archivers have it"`
	Place     string     `json:"place" doc:"Where it is"`
	State     string     `json:"state" doc:"ok, or what is wrong in a word"`
	LastError string     `json:"last_error" doc:"What the store said"`
	Since     *time.Time `json:"since" doc:"When the state began"`
	CheckedAt *time.Time `json:"checked_at" doc:"When an archiver last told of it"`
}

type archivesOutput struct {
	Body list[archiveRow]
}

func (s *Server) archiveRoutes(v1 huma.API) {
	route(s, v1, http.MethodGet, "/v1/archives", "list-archives", "List the archives and how they fare", s.listArchives,
		scope(media.ScopeAdmin),
		func(op *huma.Operation) {
			op.Description = "The stores that the archivers of each cluster were given, by name. Publishers and streams " +
				"choose among them by the settings archive and mirror. Archivers tell of each at least every 30 s."
		})
}

func (s *Server) archives(ctx context.Context) ([]media.ArchiveStatus, error) {
	if s.deps.Archives == nil {
		return nil, nil
	}
	return s.deps.Archives(ctx)
}

func (s *Server) listArchives(ctx context.Context, _ *struct{}) (*archivesOutput, error) {
	known, err := s.archives(ctx)
	if err != nil {
		return nil, err
	}
	out := &archivesOutput{Body: list[archiveRow]{Items: make([]archiveRow, 0, len(known))}}
	for _, a := range known {
		out.Body.Items = append(out.Body.Items, archiveRow{
			Name: a.Name, Cluster: a.Cluster, Place: a.Place, State: a.State, LastError: a.LastError,
			Since: moment(a.Since), CheckedAt: moment(a.CheckedAt),
		})
	}
	return out, nil
}

// checkSettings says which setting is out of its range, is not the caller's to set, or names an archive that there is
// not. Before any archiver has told of its archives, every name is taken.
func (s *Server) checkSettings(ctx context.Context, p media.SettingsPatch) error {
	if err := checkLimits(ctx, p); err != nil {
		return err
	}
	if err := p.Check(); err != nil || (p.Archive == nil && p.Mirror == nil) {
		return err
	}
	known, err := s.archives(ctx)
	if err != nil || len(known) == 0 {
		return err
	}
	names := []string{media.DefaultArchive}
	for _, a := range known {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, setting := range []struct {
		field string
		name  *string
	}{{"archive", p.Archive}, {"mirror", p.Mirror}} {
		if setting.name == nil || slices.Contains(names, media.ArchiveName(*setting.name)) {
			continue
		}
		return &media.FieldError{Field: setting.field, Want: fmt.Sprintf(
			"no archiver has an archive %q: use one of %s, or give it to the archivers first (--archives %[1]s=URL)",
			*setting.name, strings.Join(names, ", "))}
	}
	return nil
}

// publishTimeout bounds the telling of an event, which the answer waits for.
const publishTimeout = 2 * time.Second

// tellDeleted has all nodes forget recordings now. One that is not reached finds out by asking again.
func (s *Server) tellDeleted(ctx context.Context, recordings ...media.Recording) {
	if s.deps.Publish == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	for _, r := range recordings {
		event := media.Event{
			Type: media.EventDeleted, Time: time.Now(), Publisher: r.Path.Publisher, Stream: r.Path.Stream, Recording: r.ID,
		}
		if err := s.deps.Publish(ctx, event); err != nil {
			s.log.WarnContext(ctx, "event lost", "event", event.Type, "recording", r.ID, "err", err)
		}
	}
}
