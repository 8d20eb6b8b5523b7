package ingest

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync"
)

// cookies is a jar that a source cannot fill without end. It is begun anew once so many bytes were put into it: what
// the host in question gave before is kept then, as far as that is not too much itself.
type cookies struct {
	mu  sync.Mutex
	jar *cookiejar.Jar // nil before the first
	put int            // bytes
}

const (
	maxCookies    = 64 << 10 // bytes put into a jar
	maxCookieHost = 16 << 10 // bytes sent to a host
)

// Cookies implements http.CookieJar.
func (c *cookies) Cookies(u *url.URL) []*http.Cookie {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jar == nil {
		return nil
	}
	if list := c.jar.Cookies(u); sizeOf(list) <= maxCookieHost {
		return list
	}
	return nil
}

// SetCookies implements http.CookieJar.
func (c *cookies) SetCookies(u *url.URL, list []*http.Cookie) {
	size := sizeOf(list)
	if size > maxCookieHost {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.put += size; c.jar == nil || c.put > maxCookies {
		var kept []*http.Cookie
		if c.jar != nil {
			kept = c.jar.Cookies(u) // without their paths
		}
		for _, k := range kept {
			k.Path = "/"
		}
		c.jar, _ = cookiejar.New(nil) // never fails without options
		if c.put = size; sizeOf(kept) <= maxCookieHost {
			c.jar.SetCookies(u, kept)
		}
	}
	c.jar.SetCookies(u, list)
}

func sizeOf(list []*http.Cookie) (bytes int) {
	for _, c := range list {
		bytes += len(c.Name) + len(c.Value) + len(c.Path) + len(c.Domain)
	}
	return bytes
}
