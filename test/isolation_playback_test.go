package test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// playsNothing has playback tokens made with another publisher's keys try this world's shows.
func (w *world) playsNothing(t *testing.T, other *world) {
	for _, each := range []*world{w, other} {
		each.must(http.MethodPatch, "/v1/publishers/"+each.publisher, map[string]any{"playback": "signed"}, nil)
	}
	sign := w.doc.operation("create-playback-token")
	for what, body := range map[string]map[string]any{
		"stream": {"stream": w.live}, "recording": {"stream": other.past, "recording": w.archivedID},
	} {
		body["expires_in"] = "1h"
		a := sign.do(t, w.oxbow, adminToken, other.on().send(body))
		sign.verdict(t, "for another publisher's "+what, a, refuses(a, "body."+what, http.StatusNotFound))
	}
	var key, theirs struct{ KID, Secret string }
	other.must(http.MethodPost, "/v1/publishers/"+other.publisher+"/playback-keys", nil, &key)
	w.must(http.MethodPost, "/v1/publishers/"+w.publisher+"/playback-keys", nil, &theirs)
	foreign := map[string]string{
		"of the other's publisher": forgeToken(t, other.publisher, key.KID, key.Secret),
		"of this publisher":        forgeToken(t, w.publisher, key.KID, key.Secret),
		"under this one's key":     forgeToken(t, w.publisher, theirs.KID, key.Secret),
	}
	right := forgeToken(t, w.publisher, theirs.KID, theirs.Secret)
	for _, path := range []string{
		"/" + w.publisher + "/" + w.live + "/index.m3u8",
		"/" + w.publisher + "/" + w.live + "/" + w.liveID + "/index.m3u8",
		"/" + w.publisher + "/" + w.past + "/" + w.archivedID + "/index.m3u8",
	} {
		eventually(t, contractWait, "the right token plays "+path, func() bool {
			status, _ := w.try(w.url("/t/" + right + path))
			return status == http.StatusOK
		})
		refused := map[string]string{"none": path}
		for what, token := range foreign {
			refused["the token "+what+" in the path"] = "/t/" + token + path
			refused["the token "+what+" in the query"] = path + "?token=" + token
		}
		for what, target := range refused {
			eventually(t, contractWait, what+": "+path+" is refused", func() bool {
				status, _ := w.try(w.url(target))
				return status == http.StatusForbidden
			})
		}
	}
}

// forgeToken signs a playback token of HS256, as whoever has the secret can.
func forgeToken(t *testing.T, publisher, kid, secret string) string {
	t.Helper()
	part := func(value any) string {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]any{"alg": "HS256", "typ": "JWT", "kid": kid}) + "." +
		part(map[string]any{"publisher": publisher, "exp": time.Now().Add(time.Hour).Unix()})
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprint(mac, signed)
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
