package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// contractWait bounds the waiting for what is set up.
const contractWait = 20 * time.Second

// TestContract drives every operation of the OpenAPI document of a running server: with all that can be wrong with its
// request by the document, and with right requests. Every answer is held against the document, and every refusal names
// the value at fault. What a row needs is set up before its faults: that the right requests succeed behind them shows
// that nothing else was wrong.
func TestContract(t *testing.T) {
	t.Parallel()
	needTool(t, "ffmpeg")
	server := newContractServer(t)
	doc := loadDocument(t, server)
	w := newWorld(t, server, doc, "contract", worldSource(t))
	w.settle()
	w.moreStates()
	rows := contractRows()
	maps.Copy(rows, settingRows())
	for id := range rows {
		if doc.operation(id) == nil {
			t.Errorf("contractRows has %q, and the document has no such operation", id)
		}
	}
	requests := 0
	for _, op := range doc.ops {
		t.Run(op.OperationID, func(t *testing.T) {
			if err := doc.check(op); err != nil {
				t.Errorf("the document's %s: %v", op.OperationID, err)
			}
			row := rows[op.OperationID]
			if row == nil {
				t.Fatalf("no row for %s %s: add %q to contractRows, with right requests and what they need",
					op.method, op.path, op.OperationID)
			}
			w.tb, w.oxbow.tb = t, t
			requests += w.drive(t, op, row)
		})
	}
	w.tb, w.oxbow.tb = t, t
	t.Run("methods", func(t *testing.T) { w.checkMethods(t) })
	t.Logf("%d operations, %d requests", len(doc.ops), requests)
}

// drive sends an operation what is wrong, and then what is right.
func (w *world) drive(t *testing.T, op *operation, row func(w *world) []request) (requests int) {
	t.Helper()
	rights := row(w)
	if !w.doc.open(op) {
		for what, token := range map[string]string{
			"no token": "", "a wrong token": "wrong", "a token in no form": "oxt_\t;", "a long token": strings.Repeat("x", 4000),
		} {
			a := op.do(t, w.oxbow, token, rights[0])
			requests++
			err := refuses(a, "header.Authorization", http.StatusUnauthorized)
			if challenge := a.header.Get("WWW-Authenticate"); err == nil && !strings.HasPrefix(challenge, "Bearer ") {
				err = fmt.Errorf("WWW-Authenticate %q", challenge)
			}
			op.verdict(t, what, a, err)
		}
	}
	for _, f := range slices.Concat(op.faults(rights[0]), op.settingFaults(rights[0]), op.conditionFaults()) {
		r := rights[0].clone()
		f.change(&r)
		a := op.do(t, w.oxbow, adminToken, r)
		requests++
		err := refuses(a, f.location, f.statuses...)
		if f.odd {
			err = oddity(a, f.location)
		}
		op.verdict(t, f.what, a, err)
	}
	for i, r := range row(w) { // anew: what is odd and allowed may have used the first ones up
		if i == 0 {
			r = w.conditional(t, op, r)
		}
		a := op.do(t, w.oxbow, adminToken, r)
		requests++
		if r.patient {
			eventually(t, contractWait, op.OperationID+" is no conflict", func() bool {
				if a.status == http.StatusConflict {
					a = op.do(t, w.oxbow, adminToken, r)
				}
				return a.status != http.StatusConflict
			})
		}
		op.verdict(t, fmt.Sprintf("right request %d", i+1), a, r.succeeded(a))
		if location := a.header.Get("Location"); location != "" && a.status == http.StatusCreated {
			if status, text := w.call(http.MethodGet, location, nil); status != http.StatusOK {
				t.Errorf("%s: Location %s: %d %s", op.OperationID, location, status, text)
			}
		}
		if i == 0 {
			requests += w.again(t, op, r, a)
		}
	}
	return requests
}

// oddity says what is wrong with the answer to a value that is strange, and not forbidden by the document. What was
// before it may have used up what the request is about: then that is named.
func oddity(a answer, location string) error {
	switch a.status {
	case http.StatusNotFound, http.StatusConflict, http.StatusGone:
		var p problem
		if err := json.Unmarshal(a.body, &p); err != nil || len(p.Errors) == 0 {
			return fmt.Errorf("it names nothing: %w", err)
		}
		return refuses(a, p.Errors[0].Location)
	}
	if a.status < http.StatusMultipleChoices {
		return nil
	}
	return refuses(a, location)
}

// succeeded says why an answer is not the one that the row wants.
func (r request) succeeded(a answer) error {
	switch {
	case r.want != 0 && a.status != r.want:
		return fmt.Errorf("status %d, want %d", a.status, r.want)
	case r.want == 0 && (a.status < http.StatusOK || a.status >= http.StatusMultipleChoices):
		return fmt.Errorf("status %d, want a success", a.status)
	case r.holds != nil:
		return r.holds(a)
	}
	return nil
}

// verdict fails the test when the answer is wrong, or not as documented.
func (op *operation) verdict(t *testing.T, what string, a answer, wrong error) {
	t.Helper()
	if wrong == nil {
		wrong = op.conforms(a)
	}
	if wrong != nil {
		op.tell(t, what, a, wrong)
	}
}

// checkMethods insists that a path refuses the methods that the document does not have, and names those that it has.
func (w *world) checkMethods(t *testing.T) {
	methods := make(map[string][]string)
	for _, op := range w.doc.ops {
		methods[op.path] = append(methods[op.path], op.method)
	}
	for path, has := range methods {
		target := strings.NewReplacer("{", "", "}", "").Replace(path)
		for _, method := range []string{
			http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "BREW",
		} {
			if slices.Contains(has, method) {
				continue
			}
			op := &operation{method: method, path: target}
			a := op.do(t, w.oxbow, adminToken, on())
			allow := a.header.Get("Allow")
			for _, want := range has {
				if a.status != http.StatusMethodNotAllowed || !strings.Contains(allow, want) ||
					a.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s %s: %d, Allow %q, want 405 and %s: %s", method, target, a.status, allow, want, a.body)
				}
			}
		}
	}
}
