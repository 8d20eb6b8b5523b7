package media

import (
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	nameForm      = regexp.MustCompile(`\A[a-z0-9][a-z0-9_-]{0,62}\z`)
	recordingForm = regexp.MustCompile(`\A[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}\z`)
)

// FuzzNames: what is a name is one by the expression that the documents have, and stays below the directory that it is
// joined to.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{
		"acme/show", "v1/show", "../..", "a/..", "a/b/c", "acme/sh ow", "ACME/show", "a\\b/c", "a%2fb/c", "a/b\x00", "a/b\n",
		"\xc0\xaf/\xc0\xae", "01arz3ndektsv4rrffq69g5fav", "live/live", strings.Repeat("a", 63) + "/" + strings.Repeat("b", 64),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseStreamPath(text)
		if (err != nil) != (CheckPublisherName(p.Publisher) != nil || p.String() != text) {
			t.Fatalf("%q is %+v: %v", text, p, err)
		}
		if err == nil && (!nameForm.MatchString(p.Publisher) || !nameForm.MatchString(p.Stream) ||
			slices.Contains(ReservedNames(), p.Publisher) || path.Join("/root", text) != "/root/"+text) {
			t.Errorf("%q is taken for a stream", text)
		}
		if err := CheckStreamName(text); (err == nil) != nameForm.MatchString(text) {
			t.Errorf("name %q: %v", text, err)
		}
		if _, err := ParseRecordingID(text); (err == nil) != recordingForm.MatchString(text) {
			t.Errorf("recording %q: %v", text, err)
		}
	})
}

// FuzzSettings: a patch that is taken is the same after its JSON, merged into nothing or into itself, and what it makes of
// the defaults is taken too. A setting that is written by hand is the one that JSON has.
func FuzzSettings(f *testing.F) {
	for _, s := range SettingsTable() {
		text, err := json.Marshal(map[string]any{s.Name: s.Default()})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, s.Name, strings.Trim(string(text), `"`))
	}
	f.Add([]byte(`{"segment_duration":"9999999h","reset":["archive"]}`), "segment_duration", "1e9h")
	f.Add([]byte(`{"reset":["nothing"],"max_bitrate":-1}`), "max_bitrate", "-1")
	f.Fuzz(func(t *testing.T, text []byte, name, value string) {
		if p, err := ParseSetting(name, value); err != nil {
			var field *FieldError
			if !errors.As(err, &field) {
				t.Errorf("%q=%q: %v names no field", name, value, err)
			}
		} else if again, err := json.Marshal(p); err != nil || !strings.HasPrefix(string(again), `{"`+name+`":`) {
			t.Errorf("%q=%q sets %s: %v", name, value, again, err)
		}
		var p SettingsPatch
		if json.Unmarshal(text, &p) != nil || p.Check() != nil {
			return
		}
		p.Reset = nil
		once, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again SettingsPatch
		if err := json.Unmarshal(once, &again); err != nil || again.Check() != nil {
			t.Fatalf("%s comes back as an error: %v %v", once, err, again.Check())
		}
		for _, merged := range []SettingsPatch{again, SettingsPatch{}.Merge(p), p.Merge(p)} {
			if twice, err := json.Marshal(merged); err != nil || string(twice) != string(once) {
				t.Fatalf("%s is %s afterwards: %v", once, twice, err)
			}
		}
		if applied := DefaultSettings().Apply(p); !reflect.DeepEqual(applied, applied.Apply(p)) {
			t.Fatalf("%s applied twice is another", once)
		}
	})
}

// FuzzSource: what is shown of a source's URL has none of its secrets, and what is taken can be called.
func FuzzSource(f *testing.F) {
	for _, tt := range []string{
		"https://user:pass@host/live/index.m3u8?token=t&mode=caller", "rtmp://host/app/name", "rtmps://h:443/a/b/c?x",
		"srt://host:9000?streamid=read:a&passphrase=0123456789&latency=120", "srt://host:1?latency=-1", "https://h/t/TOKEN/x.m3u8",
		"http://[::1%25lo]/", "file:///etc/passwd", "https://h/%2e%2e/%00?a;b", "http://h#\x00",
	} {
		f.Add(tt, "hunter2secret")
	}
	f.Fuzz(func(t *testing.T, text, secret string) {
		s := Source{URL: text, Mode: SourceAlways, IdleTimeout: DefaultSourceIdle}
		err := s.Check()
		shown := s.Redacted()
		if err != nil {
			return
		}
		u, bad := url.Parse(text)
		if bad != nil || u.Hostname() == "" || !slices.Contains(SourceSchemes(), u.Scheme) || len(text) > maxSourceURL {
			t.Fatalf("%q is taken", text)
		}
		if again, err := url.Parse(shown); !strings.Contains(u.Host, "%") && (err != nil || again.Host != u.Host || again.User != nil && again.User.String() != "redacted") {
			t.Errorf("%q is shown as %q: %v", text, shown, err)
		}
		// A secret that is put in by its place is not shown.
		if secret = url.QueryEscape(secret); len(secret) < 10 || strings.Contains(text, secret) {
			return
		}
		u.User = url.UserPassword("u", secret)
		q := u.RawQuery
		for _, name := range []string{"token", "passphrase", "streamid", "key"} {
			u.RawQuery = q + "&" + name + "=" + secret
			if with := (Source{URL: u.String()}); strings.Contains(with.Redacted(), secret) {
				t.Errorf("%q is shown as %q", with.URL, with.Redacted())
			}
		}
	})
}

// FuzzPlaces: an origin and a viewer's prefix have one spelling, which is read to itself; a base URL has no user.
func FuzzPlaces(f *testing.F) {
	for _, tt := range []string{
		"https://Example.com:443", "http://h:80", "http://[::1]:8080", "https://h:", "http://h/", "192.0.2.7/24", "::ffff:192.0.2.1",
		"::ffff:1.2.3.4/100", "fe80::1%eth0", "::/0", "http://user:p@h", "http://h/a/", "http://h\\evil", "http://h@evil", "0x7f.1", "https://example.com';x", "https://\xee\xee", "http://h%80",
	} {
		f.Add(tt)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if origin, err := ParseOrigin(text); err == nil {
			if again, err := ParseOrigin(origin); err != nil || again != origin || strings.ContainsAny(origin, " ,;'\"@") {
				t.Errorf("origin %q is %q is %q: %v", text, origin, again, err)
			}
		}
		if prefix, err := ParseViewerIP(text); err == nil {
			again, err := ParseViewerIP(prefix.String())
			if err != nil || again != prefix || prefix != prefix.Masked() || prefix.Addr().Is4In6() || prefix.Addr().Zone() != "" {
				t.Errorf("viewer %q is %q is %q: %v", text, prefix, again, err)
			}
			if addr, err := netip.ParseAddr(text); err == nil && !prefix.Contains(addr.Unmap()) {
				t.Errorf("viewer %q is not in %q", text, prefix)
			}
		}
		if CheckBaseURL(text) == nil {
			if u, err := url.Parse(text); err != nil || u.User != nil || u.Host == "" || u.RawQuery != "" {
				t.Errorf("base %q is taken", text)
			}
		}
	})
}
