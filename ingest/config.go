package ingest

import (
	"cmp"
	"context"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Config sets the limits of a Server; zero values give the defaults.
type Config struct {
	// MaxConnections bounds the connections open at once; zero is 2000.
	MaxConnections int
	// MaxConnectionsPerIP bounds those of one IPv4 address or one IPv6 /64; zero is 200.
	MaxConnectionsPerIP int
	// MaxStrangers bounds the connections that have not published yet; zero is 1000. One of them gives way to a
	// new one, as it does when one of the other limits is reached: one that was refused if there is any.
	MaxStrangers int
	// MaxStrangersPerIP bounds those of one IPv4 address or one IPv6 /64, likewise; zero is 50.
	MaxStrangersPerIP int
	// HandshakeTimeout bounds the RTMP handshake; zero is 10 s.
	HandshakeTimeout time.Duration
	// PublishTimeout bounds the time from the handshake to the publish command; zero is 15 s.
	PublishTimeout time.Duration
	// IdleTimeout is how long a publisher may send no media before it counts as lost; zero is 15 s.
	IdleTimeout time.Duration
	// WriteTimeout bounds every answer to a client; zero is 10 s.
	WriteTimeout time.Duration
	// ServiceTimeout bounds authorisation, lease and the packager's consent, each; zero is 10 s.
	ServiceTimeout time.Duration
	// TakeoverTimeout is how long a new publisher waits for the one before it to leave; zero is 5 s.
	TakeoverTimeout time.Duration
	// TrackWait is how long the first frames are held, in media time or wall time, for a track that the metadata
	// announced; zero is 500 ms.
	TrackWait time.Duration
	// ReconnectWait is how long a stopping server waits for RTMP clients that can be asked to reconnect, and were, to
	// leave by themselves; zero is 2 s.
	ReconnectWait time.Duration
	// DrainTimeout is how long a stopping server waits in all for publishers to leave, or to come to a segment's end,
	// before it cuts their connections; zero is 10 s.
	DrainTimeout time.Duration
	// ConfigTimeout is how long frames may come without any decoder configuration; zero is 10 s.
	ConfigTimeout time.Duration
	// Refuse, if set, is asked of every stream that is about to be published, before its former publisher is sent away:
	// an error, of which the text is told, keeps it out.
	Refuse func(ctx context.Context, stream media.Stream) error
	// CheckTracks, if set, says what the packager would refuse of a standby's tracks: at once, not when it is needed.
	CheckTracks func(settings media.Settings, tracks []media.Track) error
	// LiveElsewhere, if set, gives the streams of a publisher that are live on other nodes, which count for max_streams.
	// Where it fails, this node's alone do.
	LiveElsewhere func(ctx context.Context, publisher string) ([]media.StreamPath, error)
	// Warned, if set, is told of every warning that is raised, and when it is over: also by the session's end. It does not
	// wait.
	Warned func(path media.StreamPath, warning media.IngestWarning, state string)
	// MaxFrame is the largest access unit in bytes; zero is 16 MiB.
	MaxFrame int
	// MaxMemory bounds the message buffers of one connection in bytes; zero is 40 MiB, enough for one buffer to grow
	// to MaxFrame beside others. Before a publish is accepted it is 160 KiB.
	MaxMemory int
	// SRTLatency is the least time that SRT holds packets back for those that must be sent again; who publishes may ask
	// for more. Zero is 500 ms: the clocks of both sides drift apart, and nothing corrects that.
	SRTLatency time.Duration
	// SRTPassphrase, of 10 to 79 bytes, makes SRT publishers encrypt with it (AES) whose stream has no passphrase of its
	// own. Without either they must not.
	SRTPassphrase string
	// SRTReceiveBuffer is what the kernel is asked to hold for the SRT port in bytes; zero is 8 MiB.
	SRTReceiveBuffer int
}

func (c Config) withDefaults() Config {
	c.MaxConnections = cmp.Or(c.MaxConnections, 2000)
	c.MaxConnectionsPerIP = cmp.Or(c.MaxConnectionsPerIP, 200)
	c.MaxStrangers = cmp.Or(c.MaxStrangers, 1000)
	c.MaxStrangersPerIP = cmp.Or(c.MaxStrangersPerIP, 50)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 10*time.Second)
	c.PublishTimeout = cmp.Or(c.PublishTimeout, 15*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 15*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.ServiceTimeout = cmp.Or(c.ServiceTimeout, 10*time.Second)
	c.TakeoverTimeout = cmp.Or(c.TakeoverTimeout, 5*time.Second)
	c.TrackWait = cmp.Or(c.TrackWait, 500*time.Millisecond)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 10*time.Second)
	c.ReconnectWait = cmp.Or(c.ReconnectWait, 2*time.Second)
	c.ConfigTimeout = cmp.Or(c.ConfigTimeout, 10*time.Second)
	c.MaxFrame = cmp.Or(c.MaxFrame, 16<<20)
	c.MaxMemory = cmp.Or(c.MaxMemory, 40<<20)
	c.SRTLatency = cmp.Or(c.SRTLatency, 500*time.Millisecond)
	c.SRTReceiveBuffer = cmp.Or(c.SRTReceiveBuffer, 8<<20)
	return c
}
