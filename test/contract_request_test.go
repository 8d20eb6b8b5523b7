package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// request is one to an operation of the document.
type request struct {
	path   map[string]string // values of the path's parameters
	query  url.Values
	header http.Header
	body   any // nil is none; []byte goes as it is
	want   int // the status; zero is any success
	// holds says what is wrong with the answer of a success, beside what the document says; nil is nothing.
	holds func(a answer) error
	// patient: the answer is right once what it is about is ready; till then it is a conflict.
	patient bool
}

// on makes a request with the path's parameters, names and values in turn.
func on(parameters ...string) request {
	r := request{path: make(map[string]string), query: make(url.Values), header: make(http.Header)}
	for i := 0; i < len(parameters); i += 2 {
		r.path[parameters[i]] = parameters[i+1]
	}
	return r
}

// with adds a parameter to the query.
func (r request) with(name, value string) request {
	r = r.clone()
	r.query.Add(name, value)
	return r
}

// send sets the body.
func (r request) send(body any) request {
	r.body = body
	return r
}

// answered sets the status that the request must get.
func (r request) answered(status int) request {
	r.want = status
	return r
}

// clone gives one that can be changed without the other; the body is made anew of its JSON.
func (r request) clone() request {
	r.path, r.query, r.header = maps.Clone(r.path), maps.Clone(r.query), r.header.Clone()
	if _, raw := r.body.([]byte); r.body == nil || raw {
		return r
	}
	text, err := json.Marshal(r.body)
	if err != nil {
		panic("BUG: body of a contract row: " + err.Error())
	}
	r.body = nil
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber() // they are sent as they are
	if err := numbers.Decode(&r.body); err != nil {
		panic("BUG: body of a contract row: " + err.Error())
	}
	return r
}

// answer is what came of a request.
type answer struct {
	status int
	header http.Header
	body   []byte
	sent   string // the request, for people
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// do sends a request to an operation. An empty token is none.
func (op *operation) do(tb testing.TB, server *oxbow, token string, r request) answer {
	tb.Helper()
	target := op.path
	for name, value := range r.path {
		target = strings.ReplaceAll(target, "{"+name+"}", url.PathEscape(value))
	}
	if strings.Contains(target, "{") {
		tb.Fatalf("%s: the row does not say the parameters of %s", op.OperationID, target)
	}
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	text, raw := r.body.([]byte)
	if r.body != nil && !raw {
		var err error
		if text, err = json.Marshal(r.body); err != nil {
			tb.Fatal(err)
		}
	}
	if r.body != nil {
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patient(30*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, op.method, server.url(target), body)
	if err != nil {
		tb.Fatalf("%s: %v", op.OperationID, err)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.header)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatalf("%s: %s %s: %v", op.OperationID, op.method, target, err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header, sent: fmt.Sprintf("%s %s", op.method, target)}
	for name, values := range r.header {
		a.sent += fmt.Sprintf("\n\t\t%s: %.200s", name, strings.Join(values, ", "))
	}
	if len(text) > 0 {
		a.sent += fmt.Sprintf("\n\t\t%.600s", text)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		if a.body, err = firstFrames(resp.Body); err != nil { // it has no end
			tb.Fatalf("%s: %s: %v", op.OperationID, a.sent, err)
		}
		return a
	}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		tb.Fatalf("%s: %s: %v", op.OperationID, a.sent, err)
	}
	return a
}

// firstFrames reads the first two frames of server-sent events: one may just say how to come again.
func firstFrames(body io.Reader) (text []byte, err error) {
	lines := bufio.NewReader(io.LimitReader(body, maxAnswer))
	for frames := 0; frames < 2; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("server-sent events, after %.300q: %w", text, err)
		}
		text = append(text, line...)
		if len(line) == 1 {
			frames++
		}
	}
	return text, nil
}

// tell fails the test for an answer: which operation, the request, the answer, and what is wrong.
func (op *operation) tell(tb testing.TB, what string, a answer, wrong error) {
	tb.Helper()
	tb.Errorf("%s, %s:\n\t%s\n\tanswer: %d %s\n\t\t%.1500s\n\twrong: %s", op.OperationID, what, a.sent, a.status,
		a.header.Get("Content-Type"), bytes.TrimSpace(a.body), strings.ReplaceAll(wrong.Error(), "\n", "\n\t\t"))
}

// problem is an answer's problem document (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// locations lists what the problem names.
func (p problem) locations() (list []string) {
	for _, e := range p.Errors {
		list = append(list, e.Location)
	}
	return list
}

// refuses says why an answer is no refusal that names the value at the location, or a part of it.
func refuses(a answer, location string, statuses ...int) error {
	if len(statuses) == 0 && (a.status < 400 || a.status > 499) {
		return fmt.Errorf("status %d, want a 4xx that names %s", a.status, location)
	}
	if len(statuses) > 0 && !slices.Contains(statuses, a.status) {
		return fmt.Errorf("status %d, want one of %v that names %s", a.status, statuses, location)
	}
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		return fmt.Errorf("Content-Type %q, want application/problem+json", kind)
	}
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		return fmt.Errorf("problem document: %w", err)
	}
	var wrong []error
	if p.Status != a.status || p.Title == "" || p.Detail == "" {
		wrong = append(wrong, fmt.Errorf("status %d, title %q, detail %q", p.Status, p.Title, p.Detail))
	}
	for _, e := range p.Errors {
		if e.Message == "" {
			wrong = append(wrong, fmt.Errorf("the error of %q has no message", e.Location))
		}
	}
	named := func(l string) bool {
		return l == location || strings.HasPrefix(l, location+".") || strings.HasPrefix(l, location+"[")
	}
	if !slices.ContainsFunc(p.locations(), named) {
		wrong = append(wrong, fmt.Errorf("errors name %q, not %s", p.locations(), location))
	}
	return errors.Join(wrong...)
}
