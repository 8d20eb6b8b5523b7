package httpcache

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"
)

var received = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// header makes a header of lines "Name: value".
func header(lines ...string) http.Header {
	h := make(http.Header)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h[textproto.CanonicalMIMEHeaderKey(name)] = append(h[textproto.CanonicalMIMEHeaderKey(name)], value)
	}
	return h
}

func TestJudgeLifetime(t *testing.T) {
	const (
		date     = "Date: Sun, 22 Nov 2026 12:00:00 GMT"
		hourOn   = "Expires: Sun, 22 Nov 2026 13:00:00 GMT"
		dayOld   = "Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT"
		youngest = "Last-Modified: Sun, 22 Nov 2026 11:59:40 GMT"
	)
	for name, row := range map[string]struct {
		status int
		header []string
		want   time.Duration // None is not stored
	}{
		"nothing said":                  {header: nil, want: None},
		"max-age":                       {header: []string{"Cache-Control: max-age=60"}, want: time.Minute},
		"max-age in odd case":           {header: []string{"Cache-Control: foo, MaX-aGe=60"}, want: time.Minute},
		"quoted max-age":                {header: []string{`Cache-Control: max-age="60"`}, want: time.Minute},
		"leading zeros":                 {header: []string{"Cache-Control: max-age=0060"}, want: time.Minute},
		"single-quoted max-age":         {header: []string{"Cache-Control: max-age='60'"}, want: None},
		"negative max-age":              {header: []string{"Cache-Control: max-age=-60"}, want: None},
		"fractional max-age":            {header: []string{"Cache-Control: max-age=60.5"}, want: None},
		"max-age beyond 32 bits":        {header: []string{"Cache-Control: max-age=99999999999999999999"}, want: MaxAge},
		"max-age twice":                 {header: []string{"Cache-Control: max-age=60, max-age=1"}, want: time.Second},
		"max-age on two lines":          {header: []string{"Cache-Control: max-age=1", "Cache-Control: max-age=60"}, want: time.Second},
		"max-age inside quotes":         {header: []string{`Cache-Control: ext="max-age=60, x", max-age=1`}, want: time.Second},
		"a quote hides no directive":    {header: []string{`Cache-Control: max-age=60, ext="a, no-store`}, want: None},
		"blank before =":                {header: []string{"Cache-Control: max-age =60"}, want: None},
		"s-maxage wins":                 {header: []string{"Cache-Control: max-age=1, s-maxage=60"}, want: time.Minute},
		"short s-maxage wins":           {header: []string{"Cache-Control: s-maxage=1, max-age=60"}, want: time.Second},
		"max-age wins over Expires":     {header: []string{date, hourOn, "Cache-Control: max-age=0"}, want: None},
		"Expires":                       {header: []string{date, hourOn}, want: time.Hour},
		"Expires without a good Date":   {header: []string{"Date: foo", hourOn}, want: time.Hour},
		"Expires twice":                 {header: []string{date, hourOn, hourOn}, want: None},
		"Expires 0":                     {header: []string{date, "Expires: 0"}, want: None},
		"no-store":                      {header: []string{"Cache-Control: max-age=60, No-StOrE"}, want: None},
		"private":                       {header: []string{"Cache-Control: max-age=60, private"}, want: None},
		"private of a field":            {header: []string{`Cache-Control: max-age=60, private="set-cookie"`}, want: time.Minute},
		"no-cache without validator":    {header: []string{"Cache-Control: max-age=60, no-cache"}, want: None},
		"no-cache with validator":       {header: []string{"Cache-Control: max-age=60, no-cache", `Etag: "a"`}, want: 0},
		"max-age=0 with validator":      {header: []string{"Cache-Control: max-age=0", `Etag: "a"`}, want: 0},
		"validator alone":               {header: []string{`Etag: "a"`}, want: 0},
		"modified a day ago":            {header: []string{date, dayOld}, want: HeuristicLimit},
		"modified 20 s ago":             {header: []string{date, youngest}, want: 2 * time.Second},
		"modified, with a cookie":       {header: []string{date, dayOld, "Set-Cookie: a=b"}, want: 0},
		"cookie and max-age":            {header: []string{"Set-Cookie: a=b", "Cache-Control: max-age=60"}, want: time.Minute},
		"404":                           {status: 404, want: NegativeLifetime},
		"404 with max-age":              {status: 404, header: []string{"Cache-Control: max-age=60"}, want: time.Minute},
		"410":                           {status: 410, want: NegativeLifetime},
		"403, modified":                 {status: 403, header: []string{date, dayOld}, want: None},
		"503":                           {status: 503, want: None},
		"503 with max-age":              {status: 503, header: []string{"Cache-Control: max-age=60"}, want: time.Minute},
		"599, modified":                 {status: 599, header: []string{date, dayOld}, want: None},
		"599, modified and public":      {status: 599, header: []string{date, dayOld, "Cache-Control: public"}, want: HeuristicLimit},
		"206":                           {status: 206, header: []string{"Cache-Control: max-age=60"}, want: None},
		"must-understand, known":        {header: []string{"Cache-Control: max-age=60, no-store, must-understand"}, want: time.Minute},
		"must-understand, unknown":      {status: 599, header: []string{"Cache-Control: max-age=60, no-store, must-understand"}, want: None},
		"Vary *":                        {header: []string{"Cache-Control: max-age=60", "Vary: a", "Vary: , *"}, want: None},
		"CDN-Cache-Control wins":        {header: []string{"Cdn-Cache-Control: max-age=60", "Cache-Control: no-store"}, want: time.Minute},
		"CDN-Cache-Control, shorter":    {header: []string{"Cdn-Cache-Control: max-age=1", "Cache-Control: max-age=60"}, want: time.Second},
		"CDN-Cache-Control hides dates": {header: []string{date, hourOn, "Cdn-Cache-Control: public"}, want: None},
		"CDN-Cache-Control: no-store":   {header: []string{"Cdn-Cache-Control: no-store", "Cache-Control: max-age=60"}, want: None},
		"CDN-Cache-Control: private":    {header: []string{"Cdn-Cache-Control: private", "Cache-Control: max-age=60"}, want: None},
		"CDN-Cache-Control: private=?0": {header: []string{"Cdn-Cache-Control: private=?0, max-age=60"}, want: time.Minute},
		"CDN-Cache-Control of junk":     {header: []string{"Cdn-Cache-Control: max-age=60, &&&", "Cache-Control: no-store"}, want: None},
		"CDN-Cache-Control of a string": {header: []string{`Cdn-Cache-Control: max-age="60"`, "Cache-Control: max-age=1"}, want: time.Second},
		"CDN-Cache-Control in capitals": {header: []string{"Cdn-Cache-Control: Max-Age=60", "Cache-Control: max-age=1"}, want: time.Second},
		"CDN-Cache-Control empty":       {header: []string{"Cdn-Cache-Control: ", "Cache-Control: max-age=1"}, want: time.Second},
		"CDN-Cache-Control parameters":  {header: []string{"Cdn-Cache-Control: a=(1 \"x\");q=1.5, max-age=60;x=?1, b=:aGk=:"}, want: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			if row.status == 0 {
				row.status = 200
			}
			p := Judge(row.status, header(row.header...), false, received)
			got := p.Lifetime
			if !p.Store {
				got = None
			}
			if got != row.want {
				t.Errorf("kept for %s, want %s", got, row.want)
			}
			if p.Shared != (p.Store && p.Lifetime > 0) {
				t.Errorf("shared %t at %s", p.Shared, got)
			}
		})
	}
}

func TestJudgeAuthorized(t *testing.T) {
	for cc, want := range map[string]bool{
		"max-age=60": false, "max-age=60, public": true, "s-maxage=60": true, "max-age=60, must-revalidate": true,
		"max-age=60, proxy-revalidate": false,
	} {
		if got := Judge(200, header("Cache-Control: "+cc), true, received).Store; got != want {
			t.Errorf("%s: stored %t, want %t", cc, got, want)
		}
	}
}

func TestJudgeStale(t *testing.T) {
	for cc, want := range map[string]Policy{
		"max-age=1": {},
		"max-age=1, stale-while-revalidate=5, stale-if-error=9":                   {WhileRevalidate: 5 * time.Second, IfError: 9 * time.Second},
		"max-age=1, stale-while-revalidate=5, must-revalidate":                    {Strict: true},
		"max-age=1, stale-if-error=5, proxy-revalidate":                           {Strict: true},
		"s-maxage=1, stale-if-error=5":                                            {Strict: true},
		"no-cache, stale-if-error=5":                                              {Strict: true},
		"max-age=1, stale-while-revalidate=abc, stale-if-error=9, no-cache=\"a\"": {IfError: 9 * time.Second},
	} {
		p := Judge(200, header("Cache-Control: "+cc), false, received)
		if p.WhileRevalidate != want.WhileRevalidate || p.IfError != want.IfError || p.Strict != want.Strict {
			t.Errorf("%s: got %+v, want %+v", cc, p, want)
		}
	}
}

func TestJudgeNamesFields(t *testing.T) {
	p := Judge(200, header(`Cache-Control: max-age=60, no-cache="a, B", private="set-cookie"`), false, received)
	if want := []string{"A", "B", "Set-Cookie"}; !slices.Equal(p.Fields, want) || !p.Shared {
		t.Errorf("got %q, shared %t, want %q", p.Fields, p.Shared, want)
	}
}

func TestInitialAge(t *testing.T) {
	for name, row := range map[string]struct {
		lines []string
		want  time.Duration
	}{
		"none":            {nil, 0},
		"plain":           {[]string{"Age: 30"}, 30 * time.Second},
		"list":            {[]string{"Age: 0, 7200"}, 0},
		"lines":           {[]string{"Age: 7200", "Age: 0"}, 2 * time.Hour},
		"word":            {[]string{"Age: abc"}, 0},
		"negative":        {[]string{"Age: -30"}, 0},
		"fraction":        {[]string{"Age: 30.0"}, 0},
		"beyond 32 bits":  {[]string{"Age: 2147483649"}, MaxAge},
		"clock behind":    {[]string{"Date: Sun, 22 Nov 2026 11:59:30 GMT"}, 0},
		"old Date":        {[]string{"Date: Sun, 22 Nov 2026 11:00:00 GMT"}, time.Hour},
		"Date and Age":    {[]string{"Date: Sun, 22 Nov 2026 11:00:00 GMT", "Age: 7200"}, 2 * time.Hour},
		"Date to come":    {[]string{"Date: Sun, 22 Nov 2026 13:00:00 GMT", "Age: 5"}, 5 * time.Second},
		"Date unreadable": {[]string{"Date: yesterday"}, 0},
	} {
		if got := InitialAge(header(row.lines...), received); got != row.want {
			t.Errorf("%s: got %s, want %s", name, got, row.want)
		}
	}
}

func TestUnsafe(t *testing.T) {
	for method, want := range map[string]bool{
		"GET": false, "HEAD": false, "OPTIONS": false, "QUERY": false,
		"POST": true, "PUT": true, "DELETE": true, "M-SEARCH": true, "get": true,
	} {
		if got := Unsafe(method); got != want {
			t.Errorf("%s: got %t, want %t", method, got, want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(200, "max-age=60, no-cache=\"a, b\"", "max-age=1;a=b, c=(1 2)", "Sun, 22 Nov 2026 13:00:00 GMT", "5, 6", "a, *")
	f.Add(404, `ext="a, no-store`, `a="\\"`, "0", "-1", ",")
	f.Fuzz(func(t *testing.T, status int, cc, cdn, expires, age, vary string) {
		h := http.Header{
			"Cache-Control": {cc}, "Cdn-Cache-Control": {cdn}, "Expires": {expires}, "Age": {age}, "Vary": {vary},
			"Etag": {`"a"`},
		}
		p := Judge(status, h, false, received)
		if p.Lifetime < 0 || p.Lifetime > MaxAge || p.WhileRevalidate < 0 || p.IfError < 0 {
			t.Fatalf("times out of range: %+v", p)
		}
		if p.Strict && (p.WhileRevalidate > 0 || p.IfError > 0) {
			t.Fatalf("strict and yet stale: %+v", p)
		}
		if a := InitialAge(h, received); a < 0 || a > MaxAge {
			t.Fatalf("age %s", a)
		}
		h.Del("Cdn-Cache-Control")
		if strict := Judge(status, h, false, received); strict.Store && !strings.Contains(strings.ToLower(cc), "must-understand") {
			h["Cache-Control"] = []string{cc, "no-store"}
			if Judge(status, h, false, received).Store {
				t.Fatalf("%q hides a no-store on another line", cc)
			}
		}
		names, star := VaryOf(h)
		if star && len(names) > 0 {
			t.Fatal("names beside *")
		}
		_ = Variant(names, h)
	})
}
