package ingest

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

func TestCookies(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "example.com", Path: "/live/x.m3u8"}
	c := &cookies{}
	if got := c.Cookies(u); got != nil {
		t.Errorf("an empty jar has %v", got)
	}
	c.SetCookies(u, []*http.Cookie{{Name: "session", Value: "1", Path: "/"}})
	large := string(make([]byte, maxCookieHost))
	c.SetCookies(u, []*http.Cookie{{Name: "large", Value: large}})
	for i := range 3 * maxCookies / 20 { // the same one, as tokens are renewed
		c.SetCookies(u, []*http.Cookie{{Name: "token", Value: fmt.Sprintf("%020d", i), Path: "/"}})
	}
	if got := c.Cookies(u); len(got) != 2 {
		t.Errorf("%v", got)
	}
	for i := range 3 * maxCookies / 20 { // ever other ones
		c.SetCookies(u, []*http.Cookie{{Name: fmt.Sprintf("%020d", i), Value: "x", Path: "/"}})
		if c.put > maxCookies {
			t.Fatalf("%d bytes were put into one jar", c.put)
		}
	}
	if kept := sizeOf(c.jar.Cookies(u)); kept > maxCookies+maxCookieHost {
		t.Errorf("%d bytes are kept", kept)
	}
	if got := sizeOf(c.Cookies(u)); got > maxCookieHost {
		t.Errorf("%d bytes are sent", got)
	}
}
