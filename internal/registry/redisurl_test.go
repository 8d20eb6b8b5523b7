package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

var redisURLs = []struct {
	text string
	want redisURL
}{
	{"redis://localhost", redisURL{kind: "redis", addrs: []string{"localhost:6379"}}},
	{"redis://r:1/", redisURL{kind: "redis", addrs: []string{"r:1"}}},
	{"redis://:p%40ss%2F@[::1]:7000/15?prefix=live", redisURL{
		kind: "redis", addrs: []string{"[::1]:7000"}, password: "p@ss/", db: 15, prefix: "live",
	}},
	{"redis://[::1]", redisURL{kind: "redis", addrs: []string{"[::1]:6379"}}},
	{"redis://u:a@b:c@host", redisURL{kind: "redis", addrs: []string{"host:6379"}, username: "u", password: "a@b:c"}},
	{"rediss://u:p@r?ca=/a/ca.pem&cert=c.pem&key=k.pem&insecure_skip_verify=true", redisURL{
		kind: "redis", secure: true, addrs: []string{"r:6379"}, username: "u", password: "p",
		tls: tlsFiles{ca: "/a/ca.pem", cert: "c.pem", key: "k.pem", insecure: true},
	}},
	{"redis+sentinel://u:p@h1,h2:5,[::1]:6/main/2?sentinel_username=su&sentinel_password=s%26p", redisURL{
		kind: "sentinel", addrs: []string{"h1:26379", "h2:5", "[::1]:6"}, username: "u", password: "p",
		sentinelUsername: "su", sentinelPassword: "s&p", master: "main", db: 2,
	}},
	{"rediss+sentinel://h1/main", redisURL{kind: "sentinel", secure: true, addrs: []string{"h1:26379"}, master: "main"}},
	{"redis+cluster://h1:1,h2", redisURL{kind: "cluster", addrs: []string{"h1:1", "h2:6379"}}},
	{"rediss+cluster://u:p@h1/?ca=x", redisURL{
		kind: "cluster", secure: true, addrs: []string{"h1:6379"}, username: "u", password: "p", tls: tlsFiles{ca: "x"},
	}},
}

func TestParseRedisURL(t *testing.T) {
	for _, c := range redisURLs {
		if c.want.prefix == "" {
			c.want.prefix = "oxbow"
		}
		got, err := parseRedisURL(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(redisURL{}, tlsFiles{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
}

var badRedisURLs = []struct{ text, says string }{
	{"", "starts with"},
	{"redis:host", "starts with"},
	{"redis+redis://host", "starts with"},
	{"http://hunter2@host", "starts with"},
	{"redis+proxy://host", "starts with"},
	{"redis://", "host"},
	{"redis://:hunter2@", "host"},
	{"redis://hunter2@host", "without a password"},
	{"redis://u:hunter2%zz@host", "%25"},
	{"redis://u:hunter2/x@host", "%2F"},
	{"redis://u:hunter2#x@host", "%23"},
	{"redis://a,b", "names 2 hosts"},
	{"redis+cluster://a,,b", `host ""`},
	{"redis://host:0", "port"},
	{"redis://host:70000", "port"},
	{"redis://host:", "port"},
	{"redis://a:b:c", "want host"},
	{"redis://host/one", "database"},
	{"redis://host/-1", "database"},
	{"redis://host/1/2", "database"},
	{"redis+cluster://host/1", "no databases"},
	{"redis+sentinel://host", "no master named"},
	{"redis+sentinel://host//1", "no master named"},
	{"redis://host?ca=x", "takes prefix"},
	{"redis://host?sentinel_password=hunter2", "takes prefix"},
	{"redis+sentinel://host/m?sentinel_password=hunter2%", "name=value"},
	{"redis+sentinel://host/m?sentinel_password=hunter2&sentinel_password=hunter2", "one value"},
	{"redis://host?prefix=", "one value"},
	{"redis://host?prefix=a:b", "prefix"},
	{"redis://host?prefix={a}", "prefix"},
	{"rediss://host?cert=x", "go together"},
	{"rediss://host?insecure_skip_verify=maybe", "true or false"},
	{"redis://" + strings.Repeat("h", maxURL), "longer than"},
	{"redis+cluster://h" + strings.Repeat(",h", maxHosts), "more than"},
}

func TestRefuseRedisURL(t *testing.T) {
	for _, c := range badRedisURLs {
		_, err := parseRedisURL(c.text)
		wantError(t, err, media.ErrInvalid)
		if err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: error %q, want it to say %q and no password", c.text, err, c.says)
		}
	}
}

func FuzzRedisURL(f *testing.F) {
	for _, c := range redisURLs {
		f.Add(c.text)
	}
	for _, c := range badRedisURLs {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseRedisURL(text)
		if err == nil && (len(u.addrs) == 0 || len(u.addrs) > maxHosts || u.prefix == "" || u.kind == "sentinel" && u.master == "") {
			t.Errorf("%q is read as %+v", text, u)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%q: an error of %d bytes", text, len(err.Error()))
		}
	})
}
