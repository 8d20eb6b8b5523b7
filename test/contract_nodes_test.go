package test

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// driveNodes drives the operations about nodes against a cluster, which has some: each is listed and got as documented,
// those without publishers and viewers are not drained, and the ingest nodes and edges are. It is the end of them.
func (f *fleet) driveNodes(t *testing.T) {
	t.Helper()
	doc := loadDocument(t, f.api)
	list, get, drain := doc.operation("list-nodes"), doc.operation("get-node"), doc.operation("drain-node")
	a := list.do(t, f.api, adminToken, on())
	list.verdict(t, "of a cluster", a, request{}.succeeded(a))
	var page struct {
		Items []struct{ ID, Role string }
	}
	f.api.api(http.MethodGet, "/v1/nodes", nil, &page)
	roles := make(map[string]int)
	for _, node := range page.Items {
		roles[node.Role]++
		a := get.do(t, f.api, adminToken, on("id", node.ID))
		get.verdict(t, "of the role "+node.Role, a, request{}.succeeded(a))
		if node.Role == "ingest" || node.Role == "edge" {
			continue
		}
		a = drain.do(t, f.api, adminToken, on("id", node.ID))
		drain.verdict(t, "of the role "+node.Role, a, refuses(a, "path.id", http.StatusConflict))
	}
	if roles["ingest"] == 0 || roles["archiver"] == 0 || roles["api"] == 0 || roles["edge"] == 0 {
		t.Errorf("nodes of the roles %v, want each of ingest, archiver, edge and api", roles)
	}
	for _, node := range slices.Clone(page.Items) { // the list is read anew below
		if node.Role != "ingest" && node.Role != "edge" {
			continue
		}
		a := drain.do(t, f.api, adminToken, on("id", node.ID))
		drain.verdict(t, "of the role "+node.Role, a, request{want: http.StatusAccepted}.succeeded(a))
		eventually(t, memberStop, "the drained node ends", func() bool {
			return !f.member(node.ID).running()
		})
		eventually(t, 30*time.Second, "the drained node leaves the list", func() bool {
			f.api.api(http.MethodGet, "/v1/nodes", nil, &page)
			return !slices.Contains(page.Items, struct{ ID, Role string }{node.ID, node.Role})
		})
	}
}
