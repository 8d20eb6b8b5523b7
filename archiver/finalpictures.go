package archiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/thumbnail"
)

const (
	// spriteInterval is the least time between two tiles, and maxTiles how many there are at the most.
	spriteInterval = 5 * time.Second
	maxTiles       = 200
	// decodeBatch is how many random access points one ffmpeg is given, so that others have their turn.
	decodeBatch = 25
	// pictureWait is how long after its due time a recording's archiving may wait for pictures, and continuousWait the
	// same where the archive is to be complete seconds after the end. Counted from the due time, or the archiver's start
	// if that is later, it delays many recordings that end at once no more than one.
	pictureWait    = 30 * time.Second
	continuousWait = 4 * time.Second
)

// moment is a random access point and its time on the timeline of the whole recording's playlist, which begins at 0 and
// leaves out the absence of the publisher.
type moment struct {
	at    time.Duration
	still reclog.Still
}

// moments gives the random access points that pictures of that width are made of, and the length of the timeline.
func moments(rec *reclog.Recording, width int) (list []moment, total time.Duration) {
	if len(rec.Takes) == 0 {
		return nil, 0
	}
	index, ok := reclog.PictureTrack(rec.Takes[0].Tracks, width)
	if !ok {
		return nil, 0
	}
	take := 0
	segments := rec.Tracks[index].Segments
	for i := range segments {
		seg := &segments[i]
		for take < len(rec.Takes)-1 && rec.Takes[take].Number != seg.Take {
			take++
		}
		track := rec.Takes[take].Tracks[index]
		if seg.Filler {
			continue
		}
		for _, f := range seg.IFrames {
			list = append(list, moment{
				at: total + media.Duration(int64(f.Time), track.Timescale),
				still: reclog.Still{
					Take: seg.Take, Track: track, Offset: seg.Offset + int64(f.Offset), Size: int64(f.Size),
				},
			})
		}
		total += media.Duration(seg.Duration, track.Timescale)
	}
	return list, total
}

// nearest gives the moment next to a time; list is not empty and in order.
func nearest(list []moment, at time.Duration) int {
	i, _ := slices.BinarySearchFunc(list, at, func(m moment, at time.Duration) int { return int(m.at - at) })
	if i == len(list) || i > 0 && at-list[i-1].at <= list[i].at-at {
		i--
	}
	return i
}

// Finish makes the last pictures of a recording that has ended, unless they are there, the setting in force says none,
// or there is no video. Thumbnail.ErrBusy: there is no time for it before the context's deadline.
func (p *Pictures) Finish(ctx context.Context, rec *reclog.Recording) error {
	if p.maker == nil {
		return nil
	}
	release, err := p.reserve(ctx, rec.ID)
	if err != nil {
		return err
	}
	defer release()
	if _, err := p.root.PictureTime(rec.Path(), rec.ID, reclog.SpritesFile); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: it has been due for too long", thumbnail.ErrBusy)
	}
	interval, err := p.interval(ctx, rec.Path())
	if err != nil {
		return fmt.Errorf("settings of %s: %w", rec.Path(), err)
	}
	list, total := moments(rec, thumbnailWidth)
	if interval == 0 || len(list) == 0 {
		return nil
	}
	err = p.finish(ctx, rec, list, total)
	result := "ok"
	if err != nil {
		result = "failed"
		err = fmt.Errorf("pictures of recording %s/%s: %w", rec.Path(), rec.ID, err)
	}
	p.metrics.pictures.WithLabelValues("final", result).Inc()
	return err
}

// reserve waits until nobody else in this process finishes the recording.
func (p *Pictures) reserve(ctx context.Context, id media.RecordingID) (release func(), err error) {
	for {
		p.mu.Lock()
		busy := p.mu.finishing[id]
		if busy == nil {
			done := make(chan struct{})
			p.mu.finishing[id] = done
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.mu.finishing, id)
				close(done)
			}, nil
		}
		p.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (p *Pictures) finish(ctx context.Context, rec *reclog.Recording, list []moment, total time.Duration) error {
	if err := p.poster(ctx, rec, list, total); err != nil {
		return err
	}
	tiles, _ := moments(rec, tileWidth) // of the smallest rendition
	cues, chosen := tileTimes(tiles, total)
	return p.sprites(ctx, rec, cues, chosen)
}

// poster makes the picture that stands for the whole: the first that shows something of a few out of the middle.
func (p *Pictures) poster(ctx context.Context, rec *reclog.Recording, list []moment, total time.Duration) error {
	var candidates []*thumbnail.Picture
	var last error
	for _, share := range []time.Duration{30, 50, 15, 70, 90} {
		m := list[nearest(list, total*share/100)]
		got, err := p.decode(ctx, rec.Path(), rec.MediaID(), []reclog.Still{m.still}, thumbnailWidth, thumbnailHeight)
		switch {
		case errors.Is(err, thumbnail.ErrNoPicture):
			last = err
			continue
		case err != nil:
			return err
		}
		candidates = append(candidates, got[0])
		if got[0].Shows() {
			break
		}
	}
	best := thumbnail.Best(candidates)
	if best == nil {
		return last
	}
	return p.replace(ctx, rec.Path(), rec.ID, reclog.ThumbnailFile, best, thumbnailQuality)
}

// tileTimes says which moments the sprite sheets show, and when: at even intervals, and each moment once.
func tileTimes(list []moment, total time.Duration) (cues []thumbnail.Cue, chosen []moment) {
	interval := max(spriteInterval, (total+maxTiles-1)/maxTiles).Truncate(time.Millisecond) + time.Millisecond
	if total <= maxTiles*spriteInterval {
		interval = spriteInterval
	}
	last := -1
	for from := time.Duration(0); from < total; from += interval {
		to := min(from+interval, total)
		i := nearest(list, from+(to-from)/2)
		if i == last {
			cues[len(cues)-1].To = to
			continue
		}
		last = i
		cues, chosen = append(cues, thumbnail.Cue{From: from, To: to}), append(chosen, list[i])
	}
	return cues, chosen
}

// sprites makes the sheets, and behind them the track that names them. A tile that can't be decoded is left out.
func (p *Pictures) sprites(
	ctx context.Context, rec *reclog.Recording, cues []thumbnail.Cue, chosen []moment,
) error {
	var sheet *thumbnail.Sheet
	var done []thumbnail.Cue
	sheets := 0
	flush := func() error {
		if sheet == nil || sheet.Len() == 0 {
			return nil
		}
		err := p.replace(ctx, rec.Path(), rec.ID, reclog.SpriteFile(sheets), sheet, spriteQuality)
		sheet = nil
		return err
	}
	for begin := 0; begin < len(chosen); {
		end := begin
		var stills []reclog.Still
		for end < len(chosen) && len(stills) < decodeBatch && chosen[end].still.Take == chosen[begin].still.Take {
			stills = append(stills, chosen[end].still)
			end++
		}
		tiles, err := p.decode(ctx, rec.Path(), rec.MediaID(), stills, tileWidth, tileHeight)
		if err != nil && !errors.Is(err, thumbnail.ErrNoPicture) {
			return err
		}
		for i, tile := range tiles {
			if tile == nil {
				continue
			}
			if sheet == nil {
				sheet = thumbnail.NewSheet(tileWidth, tile.Rect.Dy())
				sheets++
			}
			cue := cues[begin+i]
			cue.File, cue.At = reclog.SpriteFile(sheets), sheet.Add(tile)
			done = append(done, cue)
			if sheet.Len() == thumbnail.SheetTiles {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		begin = end
	}
	if err := flush(); err != nil {
		return err
	}
	return p.root.ReplacePicture(ctx, rec.Path(), rec.ID, reclog.SpritesFile, thumbnail.Track(done))
}

// awaitPictures has the last pictures made before the recording is archived, if there is time for it. Without them, or
// with those from before its end, it is archived all the same.
func (j *job) awaitPictures(ctx context.Context, rec *reclog.Recording) {
	if j.config.Pictures == nil || ctx.Err() != nil {
		return
	}
	due, wait := j.claim.Recording.ArchiveDue, pictureWait
	if j.claim.Recording.Continuous {
		wait = continuousWait
	}
	if due.IsZero() {
		due = time.Now()
	}
	if due.Before(j.since) { // while no archiver ran nobody could make them
		due = j.since
	}
	limited, cancel := context.WithDeadline(ctx, due.Add(wait))
	defer cancel()
	if err := j.config.Pictures(limited, rec); err != nil && ctx.Err() == nil {
		j.logger.Warn("recording is archived without its last pictures", "err", err)
	}
}
