package api

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// serveDocs answers with the page about the API: the built one, or a plain list of the operations.
func (s *Server) serveDocs(w http.ResponseWriter, r *http.Request) {
	// Scripts and styles are files of our own, and what the page tries goes to this server.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
		"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	page := s.assets.docs
	if page == nil {
		page = s.plainDocs()
	}
	page.ServeHTTP(w, r)
}

// docsPage is what the plain page's template shows.
type docsPage struct {
	Version string
	About   []string
	Tags    []docsTag
}

type docsTag struct {
	ID, Name, Text string
	Operations     []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Text string
	Open                            bool // needs no token
	Parameters                      []*docsParameter
}

type docsParameter struct {
	Name, In, Text string
	Required       bool
}

// newPlainDocs makes the plain page of the OpenAPI document.
func newPlainDocs(doc *huma.OpenAPI) *asset {
	p := docsPage{Version: doc.Info.Version}
	for text := range strings.SplitSeq(strings.NewReplacer("**", "", "`", "").Replace(doc.Info.Description), "\n\n") {
		p.About = append(p.About, text)
	}
	paths := make([]string, 0, len(doc.Paths))
	for path := range doc.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, tag := range doc.Tags {
		group := docsTag{ID: strings.ReplaceAll(tag.Name, " ", "-"), Name: tag.Name, Text: tag.Description}
		for _, path := range paths {
			for _, op := range operations(doc.Paths[path]) {
				if slices.Contains(op.Tags, tag.Name) {
					group.Operations = append(group.Operations, newDocsOperation(op, path))
				}
			}
		}
		p.Tags = append(p.Tags, group)
	}
	t, err := template.ParseFS(builtin, "builtin/docs.html")
	if err != nil {
		panic("BUG: built-in page: " + err.Error())
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		panic("BUG: built-in page: " + err.Error())
	}
	return newAsset("docs.html", out.Bytes())
}

func newDocsOperation(op *huma.Operation, path string) docsOperation {
	row := docsOperation{
		ID: op.OperationID, Method: op.Method, Path: path, Summary: op.Summary, Text: op.Description,
		Open: len(op.Security) == 0,
	}
	for _, p := range op.Parameters {
		row.Parameters = append(row.Parameters, &docsParameter{
			Name: p.Name, In: p.In, Text: p.Description, Required: p.Required,
		})
	}
	return row
}
