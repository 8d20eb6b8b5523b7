package accesslog

import "testing"

func TestPathsAreWithoutTokens(t *testing.T) {
	for asked, want := range map[string]string{
		"/acme/show/index.m3u8":             "/acme/show/index.m3u8",
		"":                                  "",
		"/acme/t/index.m3u8":                "/acme/t/index.m3u8",
		"/t":                                "/t",
		"/t/abc.def.ghi/acme/show/x":        "/t/redacted/acme/show/x",
		"//t/abc.def.ghi/acme/show/x":       "/t/redacted/acme/show/x",
		"/t//abc.def.ghi/acme/show/x":       "/t/redacted/acme/show/x",
		"/x/../t/abc.def.ghi/acme/show/x":   "/t/redacted/acme/show/x",
		"/./t/abc":                          "/t/redacted/",
		"/acme/show/eyJh.eyJw.sign/x":       "/acme/show/redacted/x",
		"/eyJh.eyJw.sign/acme/show/x":       "/redacted/acme/show/x",
		"/acme/show/t/eyJh.eyJw.sign/1.m4s": "/acme/show/t/redacted/1.m4s",
		"/acme/eyJ/index.m3u8":              "/acme/eyJ/index.m3u8",
	} {
		if got := withoutToken(asked); got != want {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
}
