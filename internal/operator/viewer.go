package operator

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ShowViewers is `oxbow viewers`.
type ShowViewers struct {
	Connection `embed:""`

	Of      string    `arg:"" name:"publisher[/stream]|recording" optional:"" help:"A stream or a recording, with its figures; or only a publisher's streams. Default: all streams that are watched now."`
	Since   time.Time `name:"since" placeholder:"TIME" help:"Figures from here on, like 2026-11-22T18:00:00Z. Default: the last hour; of a recording all."`
	Until   time.Time `name:"until" placeholder:"TIME" help:"Figures up to here. Default: now."`
	Step    string    `name:"step" placeholder:"STEP" help:"What a row of --history is of: 1m, 5m, 15m or 1h."`
	History bool      `name:"history" help:"Print the figures over time."`
	Limit   int       `name:"limit" default:"50" placeholder:"N" help:"Most streams to print, 500 at most (default: ${default})."`
}

// Run shows them.
func (s *ShowViewers) Run(c *Call) error {
	q := query{}
	if s.Of == "" || media.CheckPublisherName(s.Of) == nil && !isRecording(s.Of) {
		if s.History || s.Step != "" || !s.Since.IsZero() || !s.Until.IsZero() {
			return usage("--history, --step, --since and --until are for one stream or recording: name it")
		}
		if s.Limit > maxPage {
			return usage("--limit %d: %d is the most", s.Limit, maxPage)
		}
		q.text("publisher", s.Of)
		return c.list("/v1/viewing", url.Values(q), Paging{Limit: s.Limit}, table{
			columns: []string{
				"STREAM=publisher/stream", "VIEWERS=viewers", "EDGES=edges", "STALLS=now.stalls", "STALLED=now.stall_ratio",
				"STARTUP=now.startup_p50_ms", "KBIT/S=now.bitrate_kbps", "REFUSED=now.refused", "FAILED=now.failed",
				"+SENT=now.bytes", "+CMCD=now.cmcd_share", "+PLAYER ERRORS=now.player_errors",
			},
			id: byPath("stream"),
		})
	}
	path := place("/v1/recordings/", s.Of, "/viewing")
	if !isRecording(s.Of) {
		var stream streamName
		if err := stream.UnmarshalText([]byte(s.Of)); err != nil {
			return usage("%v", err)
		}
		path = stream.path("/viewing")
	}
	q.moment("since", s.Since)
	q.moment("until", s.Until)
	q.text("step", s.Step)
	answer, err := c.do(Request{Method: http.MethodGet, Path: path, Query: url.Values(q)})
	if err != nil {
		return err
	}
	return c.print(answer, func(object) string { return s.Of }, func(out io.Writer, o object) error {
		return c.showViewing(out, o, s.History)
	})
}

func isRecording(text string) bool {
	_, err := media.ParseRecordingID(text)
	return err == nil && !strings.Contains(text, "/")
}

// viewingFigures are the columns of figures that are of viewers, whoever they are.
func viewingFigures() []string {
	return []string{
		"STARTS=starts", "STARTUP=startup_p50_ms", "P90=startup_p90_ms", "STALLS=stalls", "STALLED=stall_ratio",
		"KBIT/S=bitrate_kbps", "CMCD=cmcd_share", "SENT=bytes", "REFUSED=refused", "FAILED=failed",
		"+REQUESTS=requests", "+CUT=cut", "+WATCHED S=watch_s", "+THROUGHPUT P10=throughput_p10_kbps",
		"+P50=throughput_p50_kbps", "+BUFFER=buffer_ms", "+PLAYER ERRORS=player_errors",
	}
}

// showViewing prints the figures as a table: of now, of the whole range and of each edge. The history is one more
// behind it, if it is wanted.
func (c *Call) showViewing(out io.Writer, o object, history bool) error {
	head := slices.DeleteFunc(slices.Clone(o), func(f field) bool {
		_, list := f.value.([]any)
		_, group := f.value.(object)
		return list || group
	})
	if err := showAll(out, head); err != nil {
		return err
	}
	row := func(of string, viewers any, figures any) object {
		o, _ := figures.(object)
		return append(object{{"of", of}, {"viewers", viewers}}, o...)
	}
	all := []object{row("now", o.get("viewers"), o.get("now")), row("total", nil, o.get("total"))}
	edges, _ := o.get("edges").([]any)
	edgeRows, _ := objects(edges)
	for _, e := range edgeRows {
		all = append(all, row("total at "+e.text("edge"), e.get("viewers"), e.get("total")))
	}
	if _, err := io.WriteString(out, "\n"); err != nil {
		return err
	}
	columns := append([]string{"OF=of", "VIEWERS=viewers"}, viewingFigures()...)
	if err := c.newRows(table{columns: columns}).show(all); err != nil {
		return err
	}
	recordings, _ := o.get("recordings").([]any)
	if watched, ok := objects(recordings); ok {
		if _, err := io.WriteString(out, "\n"); err != nil {
			return err
		}
		if err := c.newRows(table{columns: []string{"RECORDING=recording", "VIEWERS=viewers"}}).show(watched); err != nil {
			return err
		}
	}
	if !history {
		return nil
	}
	if _, err := io.WriteString(out, "\n"); err != nil {
		return err
	}
	points, _ := o.get("history").([]any)
	rows, _ := objects(points)
	t := c.newRows(table{columns: []string{
		"AT=at", "VIEWERS=viewers", "PEAK=peak", "STARTS=starts", "SENT=bytes", "STARTUP=startup_p50_ms", "STALLS=stalls",
		"STALLED=stall_ratio", "KBIT/S=bitrate_kbps", "FAILED=failed", "PLAYER ERRORS=player_errors",
	}})
	return t.show(rows)
}
