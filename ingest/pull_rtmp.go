package ingest

import (
	"context"
	"errors"
	"strings"
	"time"
)

// rtmpFeed is an RTMP server that a stream is played from.
type rtmpFeed struct {
	client *RTMPClient
	cfg    Config
}

func (p *Puller) dialRTMPSource(ctx context.Context, target string) (feed, error) {
	client, err := DialRTMP(ctx, target)
	if err != nil {
		return nil, err
	}
	cfg := p.server.cfg
	f := &rtmpFeed{client: client, cfg: cfg}
	if err := client.Play(ctx, cfg.MaxFrame+messageOverhead); err != nil {
		return nil, errors.Join(f.withoutName(err), client.conn.Close())
	}
	return f, nil
}

// withoutName takes the stream's name, which may be secret, out of a server's words.
func (f *rtmpFeed) withoutName(err error) error {
	var status *RTMPStatusError
	if name, _, _ := strings.Cut(f.client.name, "?"); name != "" && errors.As(err, &status) {
		status.Description = strings.ReplaceAll(status.Description, name, "(name)")
	}
	return err
}

func (f *rtmpFeed) ended() string { return "" }

func (f *rtmpFeed) run(ctx context.Context, out *session) error {
	unhook := context.AfterFunc(ctx, func() { _ = f.client.conn.Close() })
	defer unhook()
	demuxer := flvDemuxer{sink: out, maxFrame: f.cfg.MaxFrame}
	for last := time.Now(); ; {
		m, err := f.client.played(f.cfg.IdleTimeout)
		now := time.Now()
		switch {
		case errors.Is(err, errGoodbye):
			return nil
		case err != nil:
			return f.withoutName(err)
		case m.kind == typeVideo:
			err = demuxer.video(m.timestamp, m.payload, now)
		case m.kind == typeAudio:
			err = demuxer.audio(m.timestamp, m.payload, now)
		case m.kind == typeDataAMF0:
			if err := demuxer.data(m.timestamp, m.payload, now); err != nil {
				return err
			}
			continue
		case now.Sub(last) > f.cfg.IdleTimeout:
			return errSilent
		default:
			continue
		}
		if err != nil {
			return err
		}
		last = time.Now() // not now: the packager may have held us back
	}
}

func (f *rtmpFeed) close() { _ = f.client.Close() }
