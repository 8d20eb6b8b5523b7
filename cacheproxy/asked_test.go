package cacheproxy

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// asked is one request of a viewer's; lines are of its header, in order.
type asked struct {
	method, uri string
	lines       []string
}

func (a asked) String() string { return fmt.Sprintf("%s %s %q", a.method, a.uri, a.lines) }

// answered is what came back. Times are left out but for Age, which may be a second apart.
type answered struct {
	status  int
	header  map[string][]string
	length  int64
	coding  []string
	body    []byte
	failed  bool
	age     int
	hasDate bool
}

func ask1(t testing.TB, client *http.Client, url string, a asked) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), a.method, url+a.uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range a.lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answered{failed: true}
	}
	defer func() { _ = resp.Body.Close() }()
	got := answered{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, coding: resp.TransferEncoding, age: -1}
	got.body, err = io.ReadAll(resp.Body)
	got.failed = err != nil
	got.hasDate = resp.Header.Get("Date") != ""
	if age := resp.Header.Get("Age"); age != "" {
		got.age, _ = strconv.Atoi(age)
	}
	if _, boundary, ok := strings.Cut(resp.Header.Get("Content-Type"), "; boundary="); ok { // another each time
		resp.Header.Set("Content-Type", strings.ReplaceAll(resp.Header.Get("Content-Type"), boundary, "boundary"))
		got.body = bytes.ReplaceAll(got.body, []byte(boundary), []byte("boundary"))
	}
	for _, name := range []string{"Date", "Age"} {
		delete(resp.Header, name)
	}
	return got
}

func (a answered) diff(b answered) string {
	switch {
	case a.status != b.status || a.failed != b.failed || a.hasDate != b.hasDate:
		return fmt.Sprintf("status %d %t, want %d %t", a.status, a.failed, b.status, b.failed)
	case !a.failed && !maps.EqualFunc(a.header, b.header, slices.Equal):
		return fmt.Sprintf("header\n %v, want\n %v", a.header, b.header)
	case !a.failed && (a.length != b.length || !slices.Equal(a.coding, b.coding) || !bytes.Equal(a.body, b.body)):
		return fmt.Sprintf("body of %d (%v %d), want %d (%v %d)", len(a.body), a.coding, a.length, len(b.body), b.coding, b.length)
	case a.age-b.age > 1 || b.age-a.age > 1 || (a.age < 0) != (b.age < 0):
		return fmt.Sprintf("age %d, want %d", a.age, b.age)
	}
	return ""
}
