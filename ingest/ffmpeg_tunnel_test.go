package ingest

import (
	"strings"
	"testing"
)

// ffmpeg sends what it has with every tenth packet, and throws the rest away when it closes; with an interval of one
// packet nothing is left.
func TestFFmpegTunnels(t *testing.T) {
	s := MustTunnel(t, slow, newRecorder())
	target := "rtmpt://" + s.addr + "/live/" + s.rec.key
	if out, err := MustFFmpeg(t, encoderArgs(target, "-t", "2", "-rtmp_flush_interval", "1")...).wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := s.rec.publication(t, 0)
	video, audio := 0, 0
	for _, f := range p.frames {
		if f.Track == 0 {
			video++
		} else {
			audio++
		}
	}
	if !p.clean || video != 50 || audio < 93 {
		t.Errorf("clean=%v, %d video and %d audio frames", p.clean, video, audio)
	}
}

func TestFFmpegIsToldOfAWrongKeyInATunnel(t *testing.T) {
	s := MustTunnel(t, slow, newRecorder())
	out, err := MustFFmpeg(t, encoderArgs("rtmpt://"+s.addr+"/live/ox_wrong", "-t", "4")...).wait()
	if err == nil || !strings.Contains(out, "wrong stream key") {
		t.Errorf("%v\n%s", err, out)
	}
	s.log.await(t, "publish refused", "protocol=rtmpt", "wrong key")
}
