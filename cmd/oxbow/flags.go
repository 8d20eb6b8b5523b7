package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// clusterFlags name a node and its cluster.
type clusterFlags struct {
	Cluster string `default:"main" placeholder:"NAME" help:"Cluster: the nodes that share one recordings directory (default: ${default})."`
	Node    string `placeholder:"ID" help:"This node's name, unique and the same at every start (default: HOSTNAME-PORT, of --internal)."`

	tokenFlags `embed:""`
}

// check says what is wrong with the names.
func (f *clusterFlags) check() error {
	if err := media.CheckPublisherName(f.Cluster); err != nil {
		return fmt.Errorf("--cluster: %w", err)
	}
	if len(f.Node) > 100 || strings.ContainsAny(f.Node, " /\n\t") {
		return fmt.Errorf("--node %.100q: use at most 100 characters without blanks and slashes", f.Node)
	}
	return nil
}

// adapterFlags say where the catalog and the registry are, which all clusters share.
type adapterFlags struct {
	Catalog  string `required:"" placeholder:"URL" help:"Catalog: postgres://USER:PASSWORD@HOST/DATABASE, or sqlite:FILE for one process."`
	Registry string `required:"" placeholder:"URL" help:"Registry: redis://, rediss://, redis+sentinel:// or redis+cluster://."`
}

// recordingFlags say where recordings are while they are not archived.
type recordingFlags struct {
	Recordings string `required:"" placeholder:"DIR" help:"Directory for recordings, shared by the cluster's nodes."`
	Sync       string `default:"segment" enum:"segment,part,never" help:"When recordings are forced to disk: ${enum}."`
}

// publishFlags say where publishers come in.
type publishFlags struct {
	RTMP  listenAddress `name:"rtmp" default:":1935" placeholder:"ADDR" help:"RTMP publishers (default: ${default}). They may also tunnel through --http: rtmpt://HOST:PORT/live/KEY."`
	RTMPS listenAddress `name:"rtmps" placeholder:"ADDR" help:"RTMP publishers over TLS, like :443; needs --tls-cert and --tls-key. Off by default."`
	TLS   tlsFlags      `embed:"" prefix:"tls-"`
	SRT   listenAddress `name:"srt" default:":8890" placeholder:"ADDR" help:"SRT publishers, UDP (default: ${default})."`

	SRTPassphrase string        `name:"srt-passphrase" placeholder:"TEXT" help:"10 to 79 characters with which SRT publishers must encrypt; a stream may have its own. Without either they must not."`
	SRTLatency    time.Duration `name:"srt-latency" default:"500ms" placeholder:"DURATION" help:"Least time that SRT waits for packets that must be sent again; publishers may ask for more (default: ${default})."`

	RTMPProxies addressPrefixes `name:"rtmp-proxies" placeholder:"CIDR,..." help:"Proxies in front of --rtmp and --rtmps that begin each connection with a header of the PROXY protocol, version 1 or 2, which tells the publisher's address (default: none)."`

	MaxPerAddress int `default:"200" placeholder:"N" help:"Most publishers' connections of one IPv4 address or IPv6 /64 (default: ${default})."`

	MinFree fraction `default:"5%" placeholder:"PERCENT" help:"New shows are refused while less of the recordings' volume is free; those that are live go on (default: ${default})."`
}

// archiveFlags say how finished recordings are archived.
type archiveFlags struct {
	ArchiveBandwidth   byteSize      `placeholder:"SIZE" help:"Most bytes a second that are sent to all archives together, like 50MiB (default: no limit)."`
	ArchiveConnections int           `default:"16" placeholder:"N" help:"Most requests at a time that send to the archives (default: ${default})."`
	ArchiveGrace       time.Duration `default:"30s" placeholder:"DURATION" help:"How long an archived recording's local files are kept on (default: ${default})."`
	ArchiveParallel    int           `default:"2" placeholder:"N" help:"How many recordings are archived at a time (default: ${default}). Publishers take turns, by bytes."`
	ArchivePoll        time.Duration `default:"2s" placeholder:"DURATION" help:"How often the archiver looks for what is due (default: ${default})."`
	UploadInterval     time.Duration `default:"10s" placeholder:"DURATION" help:"How often shows with archive_mode continuous are uploaded while they are live (default: ${default})."`
}

// adminFlags say where the operator looks in.
type adminFlags struct {
	Admin listenAddress `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Metrics, health and profiles; keep it private (default: ${default})."`
}

// fraction is a flag's percentage, kept as 0 to 1.
type fraction float64

// UnmarshalText reads "5%" or "0.05".
func (f *fraction) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	var v float64
	if _, err := fmt.Sscanf(number+"\n", "%g\n", &v); err != nil {
		return fmt.Errorf("%q is no share: use one like 5%%", text)
	}
	if percent {
		v /= 100
	}
	if !(v >= 0 && v < 1) { // NaN too
		return fmt.Errorf("%q is out of range: use 0%% to 99%%", text)
	}
	*f = fraction(v)
	return nil
}

// baseURLs is a flag's list of base URLs.
type baseURLs []string

// UnmarshalText reads the list.
func (b *baseURLs) UnmarshalText(text []byte) error {
	*b = nil
	for item := range strings.SplitSeq(string(text), ",") {
		base, err := parseBaseURL(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		*b = append(*b, base)
	}
	return nil
}

func parseBaseURL(text string) (string, error) {
	if err := media.CheckBaseURL(text); err != nil {
		return "", err
	}
	scheme, rest, _ := strings.Cut(text, "://")
	return strings.ToLower(scheme) + "://" + strings.TrimSuffix(rest, "/"), nil
}

// addressPrefixes is a flag's list of addresses and prefixes.
type addressPrefixes []netip.Prefix

// UnmarshalText reads the list.
func (p *addressPrefixes) UnmarshalText(text []byte) error {
	*p = nil
	for item := range strings.SplitSeq(string(text), ",") {
		prefix, err := media.ParseViewerIP(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		*p = append(*p, prefix)
	}
	return nil
}

// playbackURL is a flag's base URL; a path would be lost on a content security policy.
type playbackURL string

// UnmarshalText reads it.
func (p *playbackURL) UnmarshalText(text []byte) error {
	base, err := parseBaseURL(string(text))
	if err == nil {
		if _, host, _ := strings.Cut(base, "://"); strings.ContainsAny(host, "/ ;,'\"") {
			err = fmt.Errorf("%.200q has more than scheme, host and port: use one like https://live.example.com", text)
		}
	}
	*p = playbackURL(base)
	return err
}

// apiRate is a flag's requests a second.
type apiRate float64

// UnmarshalText reads it.
func (r *apiRate) UnmarshalText(text []byte) error {
	const most = 1_000_000
	rate, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(rate >= 0 && rate <= most) { // NaN too
		return fmt.Errorf("%.40q is out of range: use up to %d requests a second, or 0 for no limit", text, most)
	}
	*r = apiRate(rate)
	return nil
}

// apiOrigins is a flag's list of origins, or "*".
type apiOrigins []string

// UnmarshalText reads it.
func (o *apiOrigins) UnmarshalText(text []byte) error {
	*o = nil
	for item := range strings.SplitSeq(string(text), ",") {
		origin := strings.TrimSpace(item)
		if origin != "*" {
			var base playbackURL
			if err := base.UnmarshalText([]byte(origin)); err != nil {
				return err
			}
			if string(base) != origin || strings.Contains(origin, "*") {
				return fmt.Errorf("%.200q is no origin: use one like %s, or * for all", origin, "https://studio.example.com")
			}
		}
		*o = append(*o, origin)
	}
	return nil
}

// advertised is the base URL at which others reach what listens on the address: as given, or by this host's name.
func advertised(given string, listener net.Addr) (string, error) {
	if given != "" {
		base, err := parseBaseURL(given)
		if err != nil {
			return "", fmt.Errorf("--advertise: %w", err)
		}
		return base, nil
	}
	host, port, err := net.SplitHostPort(listener.String())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("--advertise: this host has no name: give the URL at which edges reach --internal: %w", err)
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// nodeName gives the node's id: as given, or by host and port.
func nodeName(given string, listener net.Addr) string {
	if given != "" {
		return given
	}
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	_, port, err := net.SplitHostPort(listener.String())
	if err != nil {
		return host
	}
	return host + "-" + port
}
