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

// backupMark ends a stream id of the first form that is a stream's second feed.
const backupMark = ":backup"

// Faults of a stream id beside a wrong name or key.
var (
	errStreamID = errors.New("stream id is of no known form: " + streamIDForms)
	errMode     = errors.New("mode of the stream id is missing or not supported: set m=publish")
	errProgram  = fmt.Errorf("%w: the stream id's program is no number from 1 to 65535: set program=N, or leave it out",
		media.ErrInvalid)
)

// parseStreamID reads the two forms of a stream id: "publish:PUBLISHER/STREAM:KEY", and that of SRT's access control
// guidelines, "#!::r=PUBLISHER/STREAM,m=publish,s=KEY,u=USER,program=N", in which s is the key, program the number of
// the transport stream's program to take, and what else it says is ignored. ":backup" behind the first form and
// backup=1 in the second mark a stream's second feed. An error never repeats it, since it holds a key in one place or
// another.
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
	key, backup := strings.CutSuffix(key, backupMark)
	return streamIDTarget(path, target{key: key, backup: backup})
}

func parseAccessControl(fields string) (target, error) {
	var path, mode string
	var asked target
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
			asked.key = value
		case "program":
			number, err := strconv.ParseUint(value, 10, 16)
			if err != nil || number == 0 {
				return target{}, errProgram
			}
			asked.program = int(number)
		case "backup":
			var err error
			if asked.backup, err = parseBackup(value); err != nil {
				return target{}, err
			}
		case "t":
			if value != "stream" {
				return target{}, fmt.Errorf("%w: the stream id's type is not t=stream", media.ErrUnsupported)
			}
		}
	}
	if err := checkMode(mode); err != nil {
		return target{}, err
	}
	return streamIDTarget(path, asked)
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

// streamIDTarget completes what is asked for by its path.
func streamIDTarget(path string, asked target) (target, error) {
	parsed, err := media.ParseStreamPath(strings.TrimPrefix(path, "/"))
	if err != nil {
		return target{}, fmt.Errorf("%w: publisher and stream are 1 to %d of a-z 0-9 _ -: %s",
			media.ErrBadName, media.MaxName, streamIDForms)
	}
	if asked.key == "" {
		return target{path: parsed}, errNoKey
	}
	asked.path = parsed
	return checkKey(asked)
}
