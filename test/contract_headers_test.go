package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	ifMatch        = "If-Match"
	idempotencyKey = "Idempotency-Key"
)

// takes says whether the operation has a parameter in the header.
func (op *operation) takes(header string) bool {
	return op.Parameters.GetByInAndName("header", header) != nil
}

// conditionFaults are values of If-Match and of Idempotency-Key that are out of form, and conditions that do not hold.
func (op *operation) conditionFaults() (list []fault) {
	set := func(name string, status int, values ...string) {
		for _, value := range values {
			list = append(list, fault{
				what: fmt.Sprintf("%s: %.60s", name, value), location: "header." + name, statuses: []int{status},
				change: func(r *request) { r.header.Set(name, value) },
			})
		}
	}
	if op.takes(ifMatch) {
		set(ifMatch, http.StatusUnprocessableEntity, "7", `"7`, `7"`, `"1" "2"`, "W/1", "w/\"1\"", `"1", *`, ",",
			strings.Repeat(`"1",`, 100)+`"1"`)
		set(ifMatch, http.StatusPreconditionFailed, `"999999999"`, `W/"1"`, `"no-revision"`, `"-1"`, `"01"`, `""`)
	}
	if op.takes(idempotencyKey) {
		set(idempotencyKey, http.StatusUnprocessableEntity, "short", strings.Repeat("k", 15), strings.Repeat("k", 201),
			"with spaces between words", "größe-und-länge-1234", `quotes"and	tabs-1234`)
	}
	return list
}

// conditional gives the request with the ETag of what it changes, and with a key of its own, where the operation takes
// them.
func (w *world) conditional(t *testing.T, op *operation, r request) request {
	t.Helper()
	r = r.clone()
	if op.takes(idempotencyKey) {
		r.header.Set(idempotencyKey, "contract-of-"+op.OperationID+"-1")
	}
	if !op.takes(ifMatch) {
		return r
	}
	for _, get := range w.doc.ops {
		if get.method != http.MethodGet || get.path != op.path {
			continue
		}
		tag := get.do(t, w.oxbow, adminToken, request{path: r.path}).header.Get("ETag")
		if tag == "" {
			t.Errorf("%s takes If-Match, and %s gives no ETag", op.OperationID, get.OperationID)
			break
		}
		r.header.Set(ifMatch, `"999999999", `+tag)
		return r
	}
	t.Errorf("%s takes If-Match, and nothing tells the ETag of %s", op.OperationID, op.path)
	return r
}

// again sends a conditional request that has been answered once more: under its key comes the same answer, and another
// request under it is refused; an ETag that is no longer that of what there is holds no more.
func (w *world) again(t *testing.T, op *operation, r request, first answer) (requests int) {
	t.Helper()
	if first.status >= http.StatusMultipleChoices {
		return 0
	}
	if r.header.Get(idempotencyKey) != "" {
		a := op.do(t, w.oxbow, adminToken, r)
		op.verdict(t, "again under its key", a, replays(a, first))
		other := r.clone()
		other.query.Set(unknownParameter, "1")
		a = op.do(t, w.oxbow, adminToken, other)
		op.verdict(t, "another request under its key", a,
			refuses(a, "header."+idempotencyKey, http.StatusUnprocessableEntity))
		if r.body != nil {
			text, err := json.Marshal(r.body)
			if err != nil {
				t.Fatal(err)
			}
			a = op.do(t, w.oxbow, adminToken, r.clone().send(append(text, ' ')))
			op.verdict(t, "another body under its key", a,
				refuses(a, "header."+idempotencyKey, http.StatusUnprocessableEntity))
		}
		return 3
	}
	tag := first.header.Get("ETag")
	if r.header.Get(ifMatch) == "" || tag == "" || strings.Contains(r.header.Get(ifMatch), tag) {
		return 0
	}
	a := op.do(t, w.oxbow, adminToken, r)
	op.verdict(t, "the ETag before", a, refuses(a, "header."+ifMatch, http.StatusPreconditionFailed))
	return 1
}

// replays says what in an answer differs from the first to the same request.
func replays(a, first answer) error {
	var wrong []error
	if a.status != first.status || !bytes.Equal(a.body, first.body) {
		wrong = append(wrong, fmt.Errorf("it is another answer than the first: %d %s", first.status, first.body))
	}
	if a.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		wrong = append(wrong, errors.New("Idempotent-Replayed is not of the second alone"))
	}
	for _, name := range []string{"Location", "ETag", "Content-Type"} {
		if got, want := a.header.Get(name), first.header.Get(name); got != want {
			wrong = append(wrong, fmt.Errorf("%s %q, want %q", name, got, want))
		}
	}
	return errors.Join(wrong...)
}
