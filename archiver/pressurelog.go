package archiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// pressureLog is what the log knows of the level.
type pressureLog struct {
	known bool // told is what the log said
	told  int
}

// logTimeout bounds a call to the log: the ladder does not wait for it.
const logTimeout = 5 * time.Second

// learn asks once which level was told last, by this process or the one before it: the volume stays at that one while
// it is within its slack. It is asked again as long as the log does not answer.
func (p *Pressure) learn(ctx context.Context) {
	if p.config.Log == nil || p.log.known {
		return
	}
	level, err := p.lastTold(ctx)
	if err != nil {
		return // tell says so
	}
	p.log = pressureLog{known: true, told: level}
	if p.level == pressureNone {
		p.level = level
		p.metrics.level.Set(float64(level))
	}
}

// lastTold gives the level that the log has last of the cluster.
func (p *Pressure) lastTold(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	last, err := p.config.Log.LastEvent(ctx, media.LogFilter{
		Cluster: p.config.Cluster, Types: []string{media.EventPressure},
	})
	if errors.Is(err, media.ErrNotFound) {
		return pressureNone, nil
	}
	if err != nil {
		return 0, err
	}
	var data media.PressureData
	if err := json.Unmarshal(last.Data, &data); err != nil {
		return pressureNone, nil // it says nothing; the next one will
	}
	for level := pressureNone; level <= pressureRefuse; level++ {
		if rungOf(level).name == data.Level {
			return level, nil
		}
	}
	return pressureNone, nil
}

// tell logs the level, if another was told last. While the log is away the levels between are passed over: what is told
// is how it is. Other archivers of the cluster see the same volume, so one of them may have been faster.
func (p *Pressure) tell(ctx context.Context, u reclog.Usage) error {
	if p.config.Log == nil || p.log.known && p.log.told == p.level {
		return nil
	}
	last, err := p.lastTold(ctx)
	if err == nil && last != p.level {
		now := rungOf(p.level)
		ctx, cancel := context.WithTimeout(ctx, logTimeout)
		defer cancel()
		err = p.config.Log.AddEvents(ctx, media.LogEvent{
			Type: media.EventPressure, Time: time.Now().UTC(), Cluster: p.config.Cluster,
			Data: media.MarshalEventData(media.PressureData{
				Level: now.name, Before: rungOf(last).name, Used: u.Used(), Does: now.does, Advice: now.advice,
				Node: p.config.Node,
			}),
		})
	}
	if err != nil {
		return fmt.Errorf("tell the log of pressure %s: %w", rungOf(p.level).name, err)
	}
	p.log = pressureLog{known: true, told: p.level}
	return nil
}
