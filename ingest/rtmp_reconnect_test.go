package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// connectEnhanced connects as an E-RTMP client with capabilities and gives what the server says of its own.
func (c *testClient) connectEnhanced(capsEx float64) amfObject {
	c.tb.Helper()
	c.command(0, "connect", 1.0, amfObject{
		{"app", "live"}, {"tcUrl", "rtmp://localhost/live"}, {"capsEx", capsEx}, {"fourCcList", []any{"hvc1"}},
	})
	properties := c.answer("_result")[2].(amfObject)
	c.command(0, "createStream", 2.0, nil)
	c.answer("_result")
	return properties
}

// publishOn publishes on a connection, with one picture.
func (c *testClient) publishOn(key string) {
	c.tb.Helper()
	c.command(1, "publish", 3.0, nil, key, "live")
	if code, description := c.status(); code != "NetStream.Publish.Start" {
		c.tb.Fatalf("publish: %s: %s", code, description)
	}
	c.send(typeDataAMF0, 1, 0, onlyVideo)
	c.send(typeVideo, 1, 0, videoConfig(testRecord))
	c.send(typeVideo, 1, 0, videoUnit(0, idr(1)))
}

func TestCapabilities(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	properties := MustDial(t, s.addr).connectEnhanced(0)
	want := amfObject{
		{"fmsVer", "FMS/3,0,1,123"}, {"capabilities", 31.0},
		{"fourCcList", []any{"avc1", "hvc1", "av01", "vp09", "mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"}},
		{"videoFourCcInfoMap", amfObject{{"avc1", 1.0}, {"hvc1", 1.0}, {"av01", 1.0}, {"vp09", 1.0}}},
		{"audioFourCcInfoMap", amfObject{{"mp4a", 1.0}, {"Opus", 1.0}, {"fLaC", 1.0}, {"ac-3", 1.0}, {"ec-3", 1.0}, {".mp3", 1.0}}},
		{"capsEx", 15.0},
	}
	if diff := cmp.Diff(want, properties, cmp.AllowUnexported(amfProperty{})); diff != "" {
		t.Error(diff)
	}
	legacy := MustDial(t, s.addr)
	legacy.command(0, "connect", 1.0, amfObject{{"app", "live"}})
	if got := legacy.answer("_result")[2].(amfObject); len(got) != 2 {
		t.Errorf("a client that does not speak E-RTMP was told %v", got)
	}
}

// A client that can is asked to reconnect when the server stops, sends on until it suits it, and its goodbye does not end
// the show.
func TestStopAsksToReconnect(t *testing.T) {
	s := MustServe(t, Config{ReconnectWait: 30 * time.Second}, newRecorder())
	c := MustDial(t, s.addr)
	c.connectEnhanced(capReconnect)
	c.publishOn(s.rec.key)
	s.rec.await(t, "it publishes", func() bool { return len(s.rec.publs[0].frames) == 1 })
	stopped := make(chan struct{})
	go func() {
		s.stop()
		close(stopped)
	}()
	info := c.answer("onStatus")[3].(amfObject)
	if info.text("code") != "NetConnection.Connect.ReconnectRequest" || info.text("level") != "status" || info.get("tcUrl") != nil {
		t.Errorf("it was told %v", info)
	}
	c.send(typeVideo, 1, 40, videoUnit(0, slice(2)))
	c.command(0, "FCUnpublish", 4.0, nil, s.rec.key)
	c.command(0, "deleteStream", 5.0, nil, 1.0)
	_ = c.conn.Close()
	<-stopped
	p := s.rec.publication(t, 0)
	if p.clean || len(p.frames) != 2 {
		t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
	}
	s.log.await(t, "publisher left", "how=reconnect")
}

// Those who do not obey, and those who can't, do not hold the server up.
func TestStopWaitsNotForLong(t *testing.T) {
	s := MustServe(t, Config{ReconnectWait: 50 * time.Millisecond}, newRecorder())
	c := MustDial(t, s.addr)
	c.connectEnhanced(capReconnect)
	c.publishOn(s.rec.key)
	s.rec.await(t, "it publishes", func() bool { return len(s.rec.publs[0].frames) == 1 })
	s.stop()
	c.answer("onStatus")
	if code, says := c.status(); code != codeUnpublished || !strings.Contains(says, "stopping") {
		t.Errorf("%s: %s", code, says)
	}
	c.awaitEnd()
	s.log.await(t, "publisher left", "how=stopping")
}

func TestRequestReconnect(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.connectEnhanced(capReconnect | capMultitrack)
	if asked := s.RequestReconnect("rtmp://other/live"); asked != 0 {
		t.Errorf("%d were asked before any published", asked)
	}
	c.publishOn(s.rec.key)
	s.rec.await(t, "it publishes", func() bool { return len(s.rec.publs[0].frames) == 1 })
	const target = "rtmp://other/live"
	if asked := s.RequestReconnect(target); asked != 1 {
		t.Errorf("%d were asked", asked)
	}
	if info := c.answer("onStatus")[3].(amfObject); info.text("tcUrl") != target {
		t.Errorf("it was told %v", info)
	}
	c.send(typeVideo, 1, 40, videoUnit(0, slice(2)))
	_ = c.conn.Close()
	if p := s.rec.publication(t, 0); p.clean || len(p.frames) != 2 {
		t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
	}
	// A client that says nothing of it is not asked.
	legacy := MustDial(t, s.addr)
	legacy.publish(s.rec.key)
	if asked := s.RequestReconnect(""); asked != 0 {
		t.Errorf("%d were asked", asked)
	}
}
