package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// membersQuery finds the members of a group by its index.
const membersQuery = `
	SELECT name FROM streams WHERE publisher = $1 AND member_of = $2 AND member_of <> '' ORDER BY name`

// maxMembers bounds the streams of a group: each brings a picture, and a show has at most 8.
const maxMembers = 8

// Members names the streams whose setting group is the stream, in order. There are none for a stream that is no group,
// or is not there.
func (db *DB) Members(ctx context.Context, path media.StreamPath) ([]string, error) {
	names, err := members(ctx, db.reads, path)
	if err != nil {
		return nil, db.failed("members of group "+shown(path.String()), err)
	}
	return names, nil
}

func members(ctx context.Context, q querier, path media.StreamPath) ([]string, error) {
	return all(ctx, q, func(row scanner) (name string, err error) {
		err = row.Scan(&name)
		return name, err
	}, membersQuery, path.Publisher, path.Stream)
}

// checkGroup says what is wrong with a stream's group, as a *media.FieldError. The publisher is locked.
func checkGroup(ctx context.Context, tx *sql.Tx, path media.StreamPath, group string) error {
	wrong := func(format string, args ...any) error {
		return &media.FieldError{Field: "group", Want: fmt.Sprintf(format, args...)}
	}
	if group == "" {
		return nil
	}
	if err := media.CheckStreamName(group); err != nil {
		return wrong("%.80q is no stream's name: use one of %s's streams, or \"\" for none", group, path.Publisher)
	}
	if group == path.Stream {
		return wrong("a stream can't be its own group: create another stream for the show, and name that")
	}
	show, err := stream(ctx, tx, media.StreamPath{Publisher: path.Publisher, Stream: group})
	switch {
	case errors.Is(err, media.ErrNotFound):
		return wrong("%s has no stream %q: create it first", path.Publisher, group)
	case err != nil:
		return err
	case show.Settings.Group != "":
		return wrong("%q is in group %q itself: name that one, or take %q out of it", group, show.Settings.Group, group)
	}
	own, err := members(ctx, tx, path)
	if err != nil {
		return err
	}
	if len(own) > 0 {
		return wrong("%s is the group of %s: a group can't be in another", path.Stream, strings.Join(own, ", "))
	}
	others, err := members(ctx, tx, show.Path)
	if err != nil {
		return err
	}
	count := 1
	for _, name := range others {
		if name != path.Stream {
			count++
		}
	}
	if count > maxMembers {
		return wrong("%q has %d members, and may have no more: take one out first", group, count-1)
	}
	return nil
}

// checkNoGroup refuses the setting where it is a publisher's.
func checkNoGroup(p media.SettingsPatch) error {
	if p.Group != nil && *p.Group != "" {
		return &media.FieldError{Field: "group", Want: "only a stream is in a group: set it there"}
	}
	return nil
}

// noMembers is a media.ErrConflict when streams have the stream for their group.
func noMembers(ctx context.Context, tx *sql.Tx, path media.StreamPath) error {
	names, err := members(ctx, tx, path)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%w: it is the group of %s: set their group to \"\" or delete them first",
			media.ErrConflict, strings.Join(names, ", "))
	}
	return err
}
