package ingest

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxStreamID is the length that SRT allows (SRTO_STREAMID).
const maxStreamID = 512

const streamIDForms = "use streamid=publish:PUBLISHER/STREAM:KEY or #!::r=PUBLISHER/STREAM,m=publish,s=KEY"

// Faults of a stream id beside a wrong name or key.
var (
	errStreamID = errors.New("stream id is of no known form: " + streamIDForms)
	errMode     = errors.New("mode of the stream id is missing or not supported: set m=publish")
	errProgram  = fmt.Errorf("%w: the stream id's program is no number from 1 to 65535: set program=N, or leave it out",
		media.ErrInvalid)
)

// parseStreamID reads the two forms of a stream id: "publish:PUBLISHER/STREAM:KEY", and that of SRT's access control
// guidelines, "#!::r=PUBLISHER/STREAM,m=publish,s=KEY,u=USER,program=N", in which s is the key, program the number of
// the transport stream's program to take, and what else it says is ignored. An error never repeats it, since it holds a
// key in one place or another.
func parseStreamID(id string) (target, error) {
	if len(id) > maxStreamID {
		return target{}, fmt.Errorf("%w: a stream id of %d bytes", media.ErrTooLarge, len(id))
	}
	// ffmpeg and others send what stands in their URL as it is.
	if plain, err := url.PathUnescape(id); err == nil {
		id = plain
	}
	if id = unquote(id); id == "" {
		return target{}, errNoKey
	}
	if fields, ok := strings.CutPrefix(id, "#!::"); ok {
		return parseAccessControl(fields)
	}
	mode, rest, _ := strings.Cut(id, ":")
	if err := checkMode(mode); err != nil {
		if errors.Is(err, errMode) {
			err = errStreamID // the first word need not have been a mode
		}
		return target{}, err
	}
	path, key, _ := strings.Cut(rest, ":")
	return streamIDTarget(path, key, 0)
}

func parseAccessControl(fields string) (target, error) {
	var path, key, mode string
	program := 0
	for field := range strings.SplitSeq(fields, ",") {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			if strings.TrimSpace(field) == "" {
				continue
			}
			return target{}, errStreamID
		}
		switch strings.TrimSpace(name) {
		case "r":
			path = value
		case "m":
			mode = value
		case "s":
			key = value
		case "program":
			number, err := strconv.ParseUint(value, 10, 16)
			if err != nil || number == 0 {
				return target{}, errProgram
			}
			program = int(number)
		case "t":
			if value != "stream" {
				return target{}, fmt.Errorf("%w: the stream id's type is not t=stream", media.ErrUnsupported)
			}
		}
	}
	if err := checkMode(mode); err != nil {
		return target{}, err
	}
	return streamIDTarget(path, key, program)
}

func checkMode(mode string) error {
	switch strings.TrimSpace(mode) {
	case "publish":
		return nil
	case "request", "play", "read":
		return errPlay
	}
	return errMode
}

func streamIDTarget(path, key string, program int) (target, error) {
	parsed, err := media.ParseStreamPath(strings.TrimPrefix(path, "/"))
	if err != nil {
		return target{}, fmt.Errorf("%w: publisher and stream are 1 to %d of a-z 0-9 _ -: %s",
			media.ErrBadName, media.MaxName, streamIDForms)
	}
	if key == "" {
		return target{path: parsed}, errNoKey
	}
	return checkKey(target{path: parsed, key: key, program: program})
}
