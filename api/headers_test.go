package api

import (
	"strings"
	"testing"
)

// TestEveryAnswerHasSecurityHeaders asks for pages, data, what there is not and what is refused.
func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Assets = webPage() })
	for _, ask := range []struct{ method, target, framed string }{
		{"GET", "/", "'self'"},
		{"GET", "/watch/acme/show", "'self'"},
		{"GET", "/docs", "'none'"},
		{"GET", "/assets/deep/other.wasm", "'none'"},
		{"GET", "/healthz", "'none'"},
		{"GET", "/readyz", "'none'"},
		{"GET", "/v1/listing", "'none'"},
		{"GET", "/v1/openapi.json", "'none'"},
		{"GET", "/v1/publishers", "'none'"},
		{"POST", "/v1/publishers", "'none'"},
		{"DELETE", "/", "'none'"},
		{"GET", "/none", "'none'"},
		{"GET", "/steering/acme/show", "'none'"},
		{"GET", "/watch/%3Cscript%3E/show", "'none'"},
	} {
		for _, authorization := range []string{"", "Bearer " + token, "Bearer wrong"} {
			a := f.send(f.Public(), ask.method, ask.target, "", "Authorization", authorization, "Cookie", "id=1")
			h := a.Header()
			csp := h.Get("Content-Security-Policy")
			if !strings.HasPrefix(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors "+ask.framed) {
				t.Errorf("%s %s: %d with CSP %q", ask.method, ask.target, a.Code, csp)
			}
			if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src *") {
				t.Errorf("%s %s: CSP %q lets foreign scripts run", ask.method, ask.target, csp)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Set-Cookie": "",
				"Access-Control-Allow-Credentials": "", "Server": "", "X-Powered-By": "",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s %s: %d with %s: %q, want %q", ask.method, ask.target, a.Code, name, got, want)
				}
			}
			if strings.Contains(a.Body.String(), "<script>/show") {
				t.Errorf("%s %s: the path is in the page as it came", ask.method, ask.target)
			}
		}
	}
}
