package httpcache

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVariant(t *testing.T) {
	names, _ := VaryOf(header("Vary: foo, ACCEPT-LANGUAGE", "Vary: Foo, accept-encoding"))
	if want := []string{"Accept-Encoding", "Accept-Language", "Foo"}; !slices.Equal(names, want) {
		t.Fatalf("got %q, want %q", names, want)
	}
	same := [][2]http.Header{
		{header("Foo: 1, 2"), header("Foo: 1", "Foo: 2")},
		{header("Foo: 1,2"), header("Foo:  1 ,  2 ")},
		{header("Accept-Language: en, de"), header("Accept-Language: EN,De")},
		{header("Accept-Encoding: gzip, br"), header("Accept-Encoding: br,GZIP")},
		{header("Other: 1"), header("Other: 2")},
	}
	for _, pair := range same {
		if Variant(names, pair[0]) != Variant(names, pair[1]) {
			t.Errorf("%v and %v differ", pair[0], pair[1])
		}
	}
	different := [][2]http.Header{
		{header("Foo: 1"), header("Foo: 2")},
		{header("Foo: 1"), header()},
		{header("Foo: "), header()},
		{header("Foo: a"), header("Foo: A")},
		{header(`Foo: "a, b"`), header(`Foo: "a,b"`)},
		{header("Accept-Language: en, de"), header("Accept-Language: de, en")},
		{header("Accept-Language: a", "Foo: b"), header("Accept-Language: b", "Foo: a")},
	}
	for _, pair := range different {
		if Variant(names, pair[0]) == Variant(names, pair[1]) {
			t.Errorf("%v and %v are the same", pair[0], pair[1])
		}
	}
	if Variant(nil, header("Foo: 1")) != "" {
		t.Error("a variant of no names")
	}
}

func TestNotModified(t *testing.T) {
	const at, before, after = "Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 11:00:00 GMT", "Sunday, 22-Nov-26 13:00:00 GMT"
	for name, row := range map[string]struct {
		request http.Header
		etag    string
		want    bool
	}{
		"no condition":            {header(), `"a"`, false},
		"same tag":                {header(`If-None-Match: "a"`), `"a"`, true},
		"weak and strong":         {header(`If-None-Match: W/"a"`), `"a"`, true},
		"last of a list":          {header(`If-None-Match: "x", W/"y" , "a"`), `"a"`, true},
		"on the second line":      {header(`If-None-Match: "x"`, `If-None-Match: "a"`), `"a"`, true},
		"comma within a tag":      {header(`If-None-Match: "x,"a"`), `"a"`, false},
		"any":                     {header("If-None-Match: *"), "", true},
		"another tag":             {header(`If-None-Match: "b"`), `"a"`, false},
		"never closed":            {header(`If-None-Match: "a`), `"a"`, false},
		"both unquoted":           {header("If-None-Match: a"), "a", true},
		"no tag stored":           {header("If-None-Match: "), "", false},
		"tag wins over date":      {header(`If-None-Match: "b"`, "If-Modified-Since: "+at), `"a"`, false},
		"same date":               {header("If-Modified-Since: " + at), "", true},
		"later date, RFC 850":     {header("If-Modified-Since: " + after), "", true},
		"earlier date":            {header("If-Modified-Since: " + before), "", false},
		"unreadable date":         {header("If-Modified-Since: " + at + " "), "", false},
		"two dates":               {header("If-Modified-Since: "+at, "If-Modified-Since: "+at), "", false},
		"lower-case weakness tag": {header(`If-None-Match: w/"a"`), `"a"`, false},
	} {
		if got := notModified(row.request, Validators{ETag: row.etag, Modified: received}, received); got != row.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	if !notModified(header("If-Modified-Since: "+at), Validators{}, received) ||
		notModified(header("If-Modified-Since: "+before), Validators{}, received) {
		t.Error("when it was made does not stand in for when it was modified")
	}
	if notModified(header("If-Modified-Since: "+after), Validators{}, time.Time{}) {
		t.Error("nothing stands in for when it was modified")
	}
}

func notModified(h http.Header, v Validators, made time.Time) bool {
	return NotModified(h["If-None-Match"], h["If-Modified-Since"], v, made)
}

func TestIfRange(t *testing.T) {
	v := Validators{ETag: `"a"`, Modified: received}
	for name, row := range map[string]struct {
		request http.Header
		v       Validators
		want    bool
	}{
		"none":         {header(), v, true},
		"strong":       {header(`If-Range: "a"`), v, true},
		"weak":         {header(`If-Range: W/"a"`), Validators{ETag: `W/"a"`}, false},
		"other":        {header(`If-Range: "b"`), v, false},
		"date":         {header("If-Range: Sun, 22 Nov 2026 12:00:00 GMT"), v, true},
		"later date":   {header("If-Range: Sun, 22 Nov 2026 13:00:00 GMT"), v, false},
		"date unknown": {header("If-Range: Sun, 22 Nov 2026 12:00:00 GMT"), Validators{}, false},
		"twice":        {header(`If-Range: "a"`, `If-Range: "a"`), v, false},
	} {
		if got := IfRange(row.request["If-Range"], row.v); got != row.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestParseRanges(t *testing.T) {
	for s, want := range map[string]struct {
		ranges []Range
		ok     bool
	}{
		"bytes=0-1":         {[]Range{{0, 2}}, true},
		"Bytes = 5-":        {[]Range{{5, 10}}, true},
		"bytes=-3":          {[]Range{{7, 10}}, true},
		"bytes=-30":         {[]Range{{0, 10}}, true},
		"bytes=8-99":        {[]Range{{8, 10}}, true},
		"bytes=10-":         {nil, true},
		"bytes=-0":          {nil, true},
		"bytes=0-1,20-30":   {[]Range{{0, 2}}, true},
		"bytes=8-9, 0-1":    {[]Range{{8, 10}, {0, 2}}, true},
		"bytes=4-5,0-1,1-2": {[]Range{{0, 3}, {4, 6}}, true},
		"bytes=0-1,2-3":     {[]Range{{0, 4}}, true},
		"bytes=0-,-1,3-4":   {[]Range{{0, 10}}, true},
		"bytes=":            {nil, false},
		"bytes=,":           {nil, false},
		"bytes=3-2":         {nil, false},
		"bytes=a-2":         {nil, false},
		"bytes=-":           {nil, false},
		"bytes=1":           {nil, false},
		"bytes=+1-2":        {nil, false},
		"items=0-1":         {nil, false},
		"bytes=0-1,x":       {nil, false},
		"0-1":               {nil, false},
		"bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7": {nil, false},
	} {
		ranges, ok := ParseRanges(s, 10)
		if ok != want.ok || !slices.Equal(ranges, want.ranges) {
			t.Errorf("%q: got %v, %t, want %v, %t", s, ranges, ok, want.ranges, want.ok)
		}
	}
}

func TestParseContentRange(t *testing.T) {
	if r, size, ok := ParseContentRange("bytes 2-4/10"); !ok || r != (Range{2, 5}) || size != 10 {
		t.Errorf("got %v of %d, %t", r, size, ok)
	}
	for _, s := range []string{"bytes */10", "bytes 2-4/*", "bytes 4-2/10", "bytes 2-10/10", "items 2-4/10", "bytes 2-4", ""} {
		if _, _, ok := ParseContentRange(s); ok {
			t.Errorf("%q was read", s)
		}
	}
}

func FuzzParseRanges(f *testing.F) {
	f.Add("bytes=0-1,5-,-3", int64(10))
	f.Add("bytes=4-5,0-1,1-2", int64(5))
	f.Fuzz(func(t *testing.T, s string, size int64) {
		size = max(0, size)
		ranges, ok := ParseRanges(s, size)
		if !strings.Contains(s, ",") {
			one, oneOK := ParseRange(s, size)
			if oneOK != ok || ok && (one.From < one.To) != (len(ranges) == 1) || len(ranges) == 1 && one != ranges[0] {
				t.Fatalf("%q of %d: %v %t alone, %v %t among others", s, size, one, oneOK, ranges, ok)
			}
		}
		total := int64(0)
		for _, r := range ranges {
			if r.From < 0 || r.From >= r.To || r.To > size {
				t.Fatalf("%q of %d: %v", s, size, r)
			}
			total += r.To - r.From
			if again, n, ok := ParseContentRange(r.ContentRange(size)); !ok || again != r || n != size {
				t.Fatalf("%v of %d does not come back", r, size)
			}
		}
		if total > size || len(ranges) > MaxRanges {
			t.Fatalf("%q of %d: %d ranges of %d bytes", s, size, len(ranges), total)
		}
	})
}

func FuzzMatchETag(f *testing.F) {
	f.Add(`"a", W/"b"`, `"b"`)
	f.Add(`*`, ``)
	f.Fuzz(func(t *testing.T, list, etag string) {
		if Strong(etag) && !slices.Contains([]byte(etag[1:len(etag)-1]), '"') && !MatchETag(`"other", `+etag, etag) {
			t.Fatalf("%q is not in a list with it", etag)
		}
		_ = MatchETag(list, etag)
	})
}

func TestForwardedHeader(t *testing.T) {
	h := header("Connection: a, keep-alive", "A: 1", "B: 2", "Keep-Alive: 5", "Te: trailers", "Upgrade: h2c",
		"Proxy-Authenticate: x", "Transfer-Encoding: chunked", "Set-Cookie: c=d")
	if got, want := Forwarded(h), header("B: 2", "Set-Cookie: c=d"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(h) != 9 {
		t.Error("the header itself was changed")
	}
}

func TestUpdate(t *testing.T) {
	stored := header("A: 1", "B: 1", "Content-Type: text/plain", "Content-Encoding: gzip", "Cache-Control: max-age=1")
	fresh := header("A: 2", "C: 2", "Content-Type: text/html", "Content-Length: 9", "Content-Range: x",
		"Content-Encoding: br", "Cache-Control: max-age=2", "Connection: D", "D: 1")
	want := header("A: 2", "B: 1", "C: 2", "Content-Type: text/plain", "Content-Encoding: gzip", "Cache-Control: max-age=2")
	if got := Update(stored, fresh); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSameBody(t *testing.T) {
	stored := header(`Etag: "a"`)
	for name, row := range map[string]struct {
		head   http.Header
		length int64
		want   bool
	}{
		"nothing told": {header(), -1, true}, "length": {header(), 5, true}, "other length": {header(), 6, false},
		"tag": {header(`Etag: "a"`), 5, true}, "other tag": {header(`Etag: "b"`), 5, false},
		"date, where there was none": {header("Last-Modified: x"), 5, false},
	} {
		if got := SameBody(stored, row.head, 5, row.length); got != row.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestInvalidated(t *testing.T) {
	base, err := url.ParseRequestURI("/a/b?x=1")
	if err != nil {
		t.Fatal(err)
	}
	got := Invalidated(base, header("Location: c?y=2#frag", "Content-Location: http://Origin:80/d"), "edge", "origin:80")
	if want := []string{"/a/c?y=2", "/d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Invalidated(base, header("Location: http://elsewhere/c", "Content-Location: mailto:x"), "edge"); got != nil {
		t.Errorf("another host's %q", got)
	}
}

func TestStatusAppend(t *testing.T) {
	for want, s := range map[string]Status{
		"oxbow; hit; ttl=59":                       {Cache: "oxbow", TTL: 59*time.Second + 1},
		"oxbow; hit; ttl=-3; detail=x":             {Cache: "oxbow", TTL: -3 * time.Second, Detail: "x"},
		"oxbow; fwd=uri-miss; collapsed":           {Cache: "oxbow", Forward: "uri-miss", Collapsed: true},
		"oxbow; fwd=stale; fwd-status=304; stored": {Cache: "oxbow", Forward: "stale", ForwardStatus: 304, Stored: true},
	} {
		if got := s.Append(nil); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := s.Append([]string{"near; hit"}); got != "near; hit, "+want {
			t.Errorf("got %q", got)
		}
	}
}
