package operator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A rule may be made before its edges are there: it is set, and what nobody answers to is told.
func TestSteeringRuleOfNobodyIsToldOf(t *testing.T) {
	for name, test := range map[string]struct {
		to    []string
		edges string
		warns []string
	}{
		"an edge":   {[]string{"e1"}, `{"items":[{"id":"e1","region":"eu"}]}`, nil},
		"a region":  {[]string{"region:eu"}, `{"items":[{"id":"e1","region":"eu"}]}`, nil},
		"misspelt":  {[]string{"e1", "e9"}, `{"items":[{"id":"e1","region":"eu"}]}`, []string{"no edge e9"}},
		"elsewhere": {[]string{"region:mars"}, `{"items":[]}`, []string{"no region mars"}},
		"a shape":   {[]string{"e1"}, `[]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if r.Method == http.MethodPut {
					_, _ = io.WriteString(w, `{}`)
					return
				}
				_, _ = io.WriteString(w, test.edges)
			}))
			defer s.Close()
			c := newCalled(t, s.URL, nil)
			if err := (&SetSteeringRule{To: test.to}).Run(c.Call); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(c.errs.String(), "can be steered to now"); n != len(test.warns) {
				t.Errorf("%d warnings: %s", n, &c.errs)
			}
			for _, want := range test.warns {
				if !strings.Contains(c.errs.String(), want) {
					t.Errorf("no %q: %s", want, &c.errs)
				}
			}
		})
	}
}

// A stream's figures are a table, with a row for each edge.
func TestViewersOfAStream(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"viewers":3,"recordings":[{"recording":"01kamf8v5v7yh6a8q1r0h3vk7e","viewers":3}],
"edges":[{"edge":"e1","viewers":1,"total":{"starts":4,"stall_ratio":0.0205,"bytes":2048}}],
"now":{"starts":2,"cmcd_share":1},"peak":7,"peak_at":null,"total":{"starts":9},
"history":[{"at":"2026-11-22T07:00:00Z","viewers":5,"starts":6}]}`)
	}))
	defer s.Close()
	for _, history := range []bool{false, true} {
		c := newCalled(t, s.URL, nil)
		if err := (&ShowViewers{Of: "acme/show", History: history}).Run(c.Call); err != nil {
			t.Fatal(err)
		}
		var words []string
		for line := range strings.Lines(c.out.String()) {
			words = append(words, strings.Join(strings.Fields(line), " "))
		}
		text := strings.Join(words, "\n")
		for _, want := range []string{
			"viewers 3\npeak 7", "OF VIEWERS STARTS", "now 3 2 ", "total - 9 ", "total at e1 1 4 ", " 2.1% ", " 100% ", "2.0 KiB",
			"01kamf8v5v7yh6a8q1r0h3vk7e 3",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
		if strings.Contains(text, "AT VIEWERS PEAK") != history {
			t.Errorf("history %t:\n%s", history, text)
		}
	}
}
