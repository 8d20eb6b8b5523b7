package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
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

// withoutName drops a server's words if they may repeat the stream's name or its query, which may be secret.
func (f *rtmpFeed) withoutName(err error) error {
	var status *RTMPStatusError
	if !errors.As(err, &status) {
		return err
	}
	const enough = 4 // bytes of a secret: the words were cut at some length
	for _, secret := range strings.FieldsFunc(f.client.name, func(r rune) bool { return strings.ContainsRune("?&=", r) }) {
		if strings.Contains(status.Description, clip(secret, enough)) {
			status.Description = ""
		}
	}
	return err
}

func (f *rtmpFeed) ended() string { return "" }

func (f *rtmpFeed) run(ctx context.Context, out *session) error {
	unhook := context.AfterFunc(ctx, func() { _ = f.client.conn.Close() })
	defer unhook()
	demuxer := flvDemuxer{sink: out, maxFrame: f.cfg.MaxFrame}
	out.quality.transport = func() media.IngestTransport {
		return media.IngestTransport{ReceivedBytes: int64(f.client.received)}
	}
	for last := time.Now(); ; {
		m, err := f.client.played(f.cfg.IdleTimeout)
		now := time.Now()
		switch {
		case errors.Is(err, errGoodbye):
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", errSource, f.withoutName(err))
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
