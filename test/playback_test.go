package test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSignedPlayback plays a signed show: with a token in the path and with one in the query, and not without; a token
// that the caller signs himself is as good, and when its key is deleted nobody plays with it any more.
func TestSignedPlayback(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"playback": "signed", "segment_duration": "1s"})
	keys, tokens := "/v1/publishers/acme/playback-keys", "/v1/publishers/acme/playback-tokens"
	if status := server.api(http.MethodPost, tokens, map[string]any{}, nil); status != http.StatusConflict {
		t.Errorf("a token without a key: %d", status)
	}
	var made struct{ KID, Secret string }
	if status := server.api(http.MethodPost, keys, map[string]any{"label": "site"}, &made); status != http.StatusCreated {
		t.Fatalf("make a playback key: %d", status)
	}
	var signed struct{ Token, Prefix, URL string }
	status := server.api(http.MethodPost, tokens, map[string]any{"stream": "show", "expires_in": "1m"}, &signed)
	if status != http.StatusCreated || signed.URL != "/t/"+signed.Token+"/acme/show/index.m3u8" {
		t.Fatalf("sign a playback token: %d %+v", status, signed)
	}
	publish(t, "-re", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=60", "-f", "lavfi", "-i", "sine=d=60", "-c:v", "libx264",
		"-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	eventually(t, 20*time.Second, "the show is live", func() bool {
		status, _ := server.try(server.url(signed.URL))
		return status == http.StatusOK
	})
	play := func(path string) {
		t.Helper()
		run(t, 40*time.Second, needTool(t, "ffmpeg"), "-hide_banner", "-loglevel", "error", "-xerror", "-i", server.url(path),
			"-t", "1", "-f", "null", "-")
	}
	play(signed.URL)
	play("/acme/show/index.m3u8?token=" + signed.Token)

	// One that was made outside, with nothing but what every JWT library does.
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	text := part(`{"alg":"HS256","typ":"JWT","kid":"`+made.KID+`"}`) + "." + part(`{"publisher":"acme","exp":4102444800}`)
	own := text + "." + part(hmacSHA256(made.Secret, text))
	id := server.recordings("acme", "show")[0].ID
	for _, path := range []string{"/acme/show/index.m3u8", "/acme/show/" + id + "/index.m3u8", "/acme/show/" + id + "/recording.mp4"} {
		for uri, want := range map[string]int{
			path: http.StatusForbidden, "/t/" + own + "x" + path: http.StatusForbidden, "/t/" + own + path: http.StatusOK,
			path + "?token=" + own: http.StatusOK,
		} {
			if strings.HasSuffix(path, ".mp4") && want == http.StatusOK {
				want = http.StatusConflict // while it grows
			}
			if status, body := server.try(server.url(uri)); status != want {
				t.Errorf("GET %s: %d %.200s, want %d", uri, status, body, want)
			}
		}
	}
	if strings.Contains(server.out.String(), own) || strings.Contains(server.out.String(), signed.Token) {
		t.Error("tokens are in the server's log")
	}

	revoked := time.Now()
	if status := server.api(http.MethodDelete, keys+"/"+made.KID, nil, nil); status != http.StatusNoContent {
		t.Fatalf("delete the key: %d", status)
	}
	eventually(t, 5*time.Second, "the key's tokens are refused", func() bool {
		status, _ := server.try(server.url("/t/" + own + "/acme/show/index.m3u8"))
		return status == http.StatusForbidden
	})
	figure(t, "playback key revoked", "its tokens are refused %d ms later", time.Since(revoked).Milliseconds())
	if status := server.api(http.MethodPatch, "/v1/publishers/acme/streams/show", map[string]any{"playback": "public"}, nil); status != http.StatusOK {
		t.Fatalf("make the stream public: %d", status)
	}
	eventually(t, 5*time.Second, "a public stream needs no token", func() bool {
		status, _ := server.try(server.url("/acme/show/index.m3u8"))
		return status == http.StatusOK
	})
}

func hmacSHA256(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return string(h.Sum(nil))
}
