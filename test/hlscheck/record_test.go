package hlscheck

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

const ms = time.Millisecond

// edgeAt gives what a client asks for next.
func (t *madeTrack) edgeAt(now time.Duration) (e edge) {
	e.msn = 1
	for _, p := range t.parts {
		if p.at > now {
			break
		}
		if e = (edge{int64(p.msn), p.index + 1}); p.index == 3 {
			e = edge{int64(p.msn) + 1, 0}
		}
	}
	if e.msn == gapMSN && now >= 6900*ms {
		e.msn++
	}
	return e
}

func (t *madeTrack) uri() string { return recordings + "live/" + t.name + ".m3u8" }

// record plays the client.
func record() *capture {
	c := &capture{}
	video, audio := makeTrack(true), makeTrack(false)
	times := []time.Duration{6900 * ms, 34 * time.Second}
	for _, p := range video.parts {
		times = append(times, p.at)
	}
	slices.Sort(times)
	c.playlist(showBase+"index.m3u8", 1700*ms, 1705*ms, multivariantText)
	previous := 1710 * ms
	for _, t := range []*madeTrack{video, audio} {
		c.playlist(t.uri(), previous, previous+2*ms, t.text(previous, other(t, video, audio), false))
	}
	c.media(recordings+"1/video/init.mp4", previous, previous+3*ms, video.inits[1])
	c.media(recordings+"1/audio/init.mp4", previous, previous+3*ms, audio.inits[1])
	for n, now := range times {
		if now <= previous {
			continue
		}
		for _, t := range []*madeTrack{video, audio} {
			e := t.edgeAt(previous)
			next := fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", t.uri(), e.msn, e.part)
			if n%2 == 1 {
				c.playlist(next+"&_HLS_skip=YES", previous+10*ms, now+5*ms, t.text(now, other(t, video, audio), true))
				c.playlist(next, now+6*ms, now+8*ms, t.text(now, other(t, video, audio), false))
			} else {
				c.playlist(next, previous+10*ms, now+5*ms, t.text(now, other(t, video, audio), false))
			}
			c.recordMedia(t, previous, now)
		}
		if now == 21600*ms {
			c.recordProbes(video, audio, now+20*ms)
			c.recordHTTP(video, now+60*ms)
		}
		previous = now
	}
	c.playlist(video.uri()+"?_HLS_msn=99&_HLS_part=7", 35*time.Second, 35*time.Second+ms, video.text(35*time.Second, audio, false))
	return c
}

func other(t, a, b *madeTrack) *madeTrack {
	if t == a {
		return b
	}
	return a
}

// recordMedia has the hinted part, and the segment that it completes.
func (c *capture) recordMedia(t *madeTrack, previous, now time.Duration) {
	for _, p := range t.parts {
		if p.msn == gapMSN+1 && p.index == 0 && p.at == now {
			c.media(fmt.Sprintf("%s2/%s/init.mp4", recordings, t.name), now+9*ms, now+10*ms, t.inits[2])
		}
		if p.at != now && (p.at > now || previous > 1710*ms) {
			continue
		}
		c.media(fmt.Sprintf("%s%d/%s/%d.%d.m4s", recordings, takeOf(p.msn), t.name, p.msn, p.index), previous+11*ms, now+11*ms, p.data)
		if p.index == 3 {
			c.media(t.segmentURI(p.msn), now+12*ms, now+13*ms, t.segmentBytes(p.msn))
		}
	}
}

func (t *madeTrack) segmentURI(msn int) string {
	return fmt.Sprintf("%s%d/%s/%d.m4s", recordings, takeOf(msn), t.name, msn)
}

func (t *madeTrack) segmentBytes(msn int) (data []byte) {
	for _, p := range t.parts {
		if p.msn == msn {
			data = append(data, p.data...)
		}
	}
	return data
}

// recordProbes asks odd things of the video playlist.
func (c *capture) recordProbes(t, other *madeTrack, now time.Duration) {
	e := t.edgeAt(now)
	whole := t.text(now, other, false)
	for _, bad := range []string{
		"?_HLS_part=0", "?_HLS_msn=x", fmt.Sprintf("?_HLS_msn=%d", e.msn+50), fmt.Sprintf("?_HLS_msn=%d&_HLS_part=99", e.msn),
	} {
		c.add(http.MethodGet, t.uri()+bad, now, now+ms, http.StatusBadRequest, "application/problem+json", "public, max-age=1", nil)
	}
	for _, good := range []string{
		fmt.Sprintf("?_HLS_msn=%d", e.msn-1), fmt.Sprintf("?_HLS_msn=%d&_HLS_part=0", e.msn-1), fmt.Sprintf("?_HLS_msn=%d&_HLS_part=40", e.msn-1),
		fmt.Sprintf("?_HLS_part=0&_HLS_msn=%d&x=1", e.msn-1), "",
	} {
		c.playlist(t.uri()+good, now, now+2*ms, whole)
	}
	c.playlist(t.uri()+"?_HLS_skip=YES", now, now+2*ms, t.text(now, other, true))
}

// recordHTTP asks for the same things in other ways.
func (c *capture) recordHTTP(t *madeTrack, now time.Duration) {
	const list, long = "application/vnd.apple.mpegurl", "public, max-age=31536000, immutable"
	c.add(http.MethodHead, t.uri(), now, now+ms, http.StatusOK, list, "public, max-age=1", nil)
	x := c.add(http.MethodOptions, t.uri(), now, now+ms, http.StatusNoContent, "", "", nil)
	x.Answer.Set("Access-Control-Allow-Headers", "Range")
	x.Answer.Set("Access-Control-Max-Age", "86400")
	x = c.add(http.MethodGet, t.uri(), now+ms, now+2*ms, http.StatusNotModified, "", "public, max-age=1", nil)
	x.Header.Set("If-None-Match", `"1"`)
	segment, data := t.segmentURI(5), t.segmentBytes(5)
	c.media(segment, now, now+ms, data)
	c.add(http.MethodHead, segment, now, now+ms, http.StatusOK, "video/mp4", long, nil).Answer.Set("Content-Length", fmt.Sprint(len(data)))
	for _, r := range []struct {
		asked  string
		status int
		body   []byte
		gives  string
	}{
		{"bytes=0-9", http.StatusPartialContent, data[:10], fmt.Sprintf("bytes 0-9/%d", len(data))},
		{fmt.Sprintf("bytes=%d-", len(data)), http.StatusRequestedRangeNotSatisfiable, nil, fmt.Sprintf("bytes */%d", len(data))},
	} {
		x := c.add(http.MethodGet, segment, now, now+ms, r.status, "video/mp4", long, r.body)
		x.Header.Set("Range", r.asked)
		x.Answer.Set("Content-Range", r.gives)
		x.Answer.Set("Content-Length", fmt.Sprint(len(r.body)))
		if r.status >= 400 {
			x.Answer.Set("Cache-Control", "no-store")
		}
	}
	c.media(recordings+"1/video/1.0.m4s", now, now+ms, t.parts[0].data)
	c.add(http.MethodGet, recordings+"1/video/999.m4s", now, now+ms, http.StatusNotFound, "application/problem+json", "public, max-age=1", nil)
}
