package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AuditLog keeps who changed what, or tried to. Audit is newest first, and a *media.FieldError for its cursor.
type AuditLog interface {
	AddAudit(ctx context.Context, e media.AuditEntry) (media.AuditEntry, error)
	Audit(ctx context.Context, f media.AuditFilter) (items []media.AuditEntry, next string, err error)
	// PruneAudit removes the entries from before a time.
	PruneAudit(ctx context.Context, before time.Time) (pruned int64, err error)
}

// noAudit keeps nothing.
type noAudit struct{}

func (noAudit) AddAudit(_ context.Context, e media.AuditEntry) (media.AuditEntry, error) {
	return e, nil
}

func (noAudit) Audit(context.Context, media.AuditFilter) ([]media.AuditEntry, string, error) {
	return nil, "", nil
}

func (noAudit) PruneAudit(context.Context, time.Time) (int64, error) { return 0, nil }

// auditValues are a row's fields on the wire.
type auditValues json.RawMessage

// Schema describes an object of anything.
func (auditValues) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "What the request set, without " +
		"secrets: the parameters of its query and the top-level fields of its body, 2 KiB of them at most"}
}

// MarshalJSON gives the object as it was kept.
func (v auditValues) MarshalJSON() ([]byte, error) { return json.RawMessage(v).MarshalJSON() }

// auditRow is one row of the audit log.
type auditRow struct {
	ID         string      `json:"id" doc:"The row's id"`
	At         *time.Time  `json:"at" doc:"When the request came"`
	TokenID    string      `json:"token_id" doc:"Whose request it was"`
	TokenLabel string      `json:"token_label" doc:"The token's label"`
	Publisher  string      `json:"publisher" doc:"The publisher that it is about; empty is none, or all"`
	Operation  string      `json:"operation" doc:"The operation's id in this document"`
	Method     string      `json:"method" doc:"HTTP method"`
	Path       string      `json:"path" doc:"Path of the request, without its query"`
	Status     int         `json:"status" doc:"HTTP status of the answer"`
	Remote     string      `json:"remote" doc:"The address that it came from, or the proxy's in front"`
	Fields     auditValues `json:"fields"`
}

func newAuditRow(e media.AuditEntry) auditRow {
	return auditRow{
		ID: e.ID, At: moment(e.Time), TokenID: e.TokenID, TokenLabel: e.TokenLabel, Publisher: e.Publisher,
		Operation: e.Operation, Method: e.Method, Path: e.Path, Status: e.Status, Remote: e.Remote,
		Fields: auditValues(e.Fields),
	}
}

type listAuditInput struct {
	Publisher string    `query:"publisher" doc:"Only what is about this publisher"`
	Operation string    `query:"operation" maxLength:"100" doc:"Only this operation, by its id in this document"`
	Token     string    `query:"token" maxLength:"64" doc:"Only what came with this token, by its id"`
	Since     time.Time `query:"since" doc:"Only at or after"`
	Until     time.Time `query:"until" doc:"Only before"`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Most items to return"`
	Cursor    string    `query:"cursor" maxLength:"200" doc:"The next of the page before"`
}

type auditOutput struct {
	Body list[auditRow]
}

func (s *Server) auditRoutes(v1 huma.API) {
	route(s, v1, http.MethodGet, "/v1/audit", "list-audit", "List who changed what, newest first",
		func(ctx context.Context, in *listAuditInput) (*auditOutput, error) { return s.listAudit(ctx, v1, in) },
		func(op *huma.Operation) {
			op.Description = "One row for each request with a known token that is no GET, refused ones too. Tokens of one " +
				"publisher see what is about theirs."
		})
}

func (s *Server) listAudit(ctx context.Context, v1 huma.API, in *listAuditInput) (*auditOutput, error) {
	if err := checkFilter(media.RecordingFilter{Publisher: in.Publisher, Since: in.Since, Until: in.Until}); err != nil {
		return nil, err
	}
	if in.Operation != "" && !slices.Contains(operationIDs(v1.OpenAPI()), in.Operation) {
		return nil, at("query.operation", fmt.Errorf("%w: no operation has the id %.40q: GET /v1/openapi.json has them",
			media.ErrInvalid, in.Operation))
	}
	if err := restrict(ctx, &in.Publisher, "query.publisher"); err != nil {
		return nil, err
	}
	items, next, err := s.deps.Audit.Audit(ctx, media.AuditFilter{
		Publisher: in.Publisher, Operation: in.Operation, TokenID: in.Token, Since: in.Since, Until: in.Until,
		Limit: in.Limit, Cursor: in.Cursor,
	})
	switch {
	case errors.Is(err, media.ErrInvalid): // all else is checked above
		return nil, at("query.cursor", err)
	case err != nil:
		return nil, err
	}
	out := &auditOutput{Body: list[auditRow]{Items: make([]auditRow, 0, len(items)), Next: next}}
	for _, item := range items {
		out.Body.Items = append(out.Body.Items, newAuditRow(item))
	}
	return out, nil
}

func operationIDs(doc *huma.OpenAPI) []string {
	var ids []string
	for _, item := range doc.Paths {
		for _, op := range operations(item) {
			ids = append(ids, op.OperationID)
		}
	}
	return ids
}

// auditPruneWait bounds one pruning; the next goes on.
const auditPruneWait = time.Minute

// pruneAudits keeps the audit log to its age until ctx ends.
func (s *Server) pruneAudits(ctx context.Context) {
	pruneLoop(ctx, pruneFirst, func() { s.pruneAudit(ctx, time.Now()) })
}

func (s *Server) pruneAudit(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, auditPruneWait)
	defer cancel()
	pruned, err := s.deps.Audit.PruneAudit(ctx, now.Add(-s.cfg.AuditKeep))
	switch {
	case err != nil:
		s.log.WarnContext(ctx, "audit log not pruned", "pruned", pruned, "err", err)
	case pruned > 0:
		s.log.InfoContext(ctx, "audit log pruned", "pruned", pruned)
	}
}
