package viewing

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A session that steering moves before, at, or after its start is one start, which it tells one of both edges.
func TestViewersWhoMoveAreOne(t *testing.T) {
	first, second := newWorld(t, Config{Steered: true}), newWorld(t, Config{Steered: true})
	pass := func() { first.pass(time.Second); second.pass(time.Second) }
	sum := func() (f media.Viewing, viewers int64) {
		for _, w := range []*world{first, second} {
			of, n := w.now()
			f.Add(of)
			viewers += n
		}
		return f, viewers
	}
	open := "/" + stream + "/index.m3u8"
	moves := []string{"early", "middle", "late", "between"} // when each does
	for _, id := range moves {
		s := `oxbow-bsa=0,oxbow-bsda=0,sid="` + id + `",`
		first.get(open, s+`ot=m,su`)
		if id == "early" {
			continue
		}
		first.get(playlist, s+`ot=m,su`)
		first.get(part(1), s+`ot=v,su`)
	}
	const tells, measured = `,oxbow-msd=300,oxbow-bsa=0,oxbow-bsda=0`, `,oxbow-bsa=0,oxbow-bsda=0`
	first.get(part(2), `sid="late",ot=v`+tells)
	pass()
	second.get(playlist, `sid="early",ot=m,su`+measured)
	second.get(playlist, `sid="middle",ot=m,su`+measured)
	second.get(part(1), `sid="early",ot=v,su`+measured)
	first.get(part(2), `sid="middle",ot=v`+tells) // of its other track, while it goes
	second.get(playlist, `sid="late",ot=m`+measured)
	second.get(playlist, `sid="between",ot=m`+tells)
	second.get(part(2), `sid="early",ot=v`+tells)
	if _, n := sum(); n > 4 {
		t.Errorf("%d viewers while they move, of 4", n)
	}
	for range 12 {
		pass()
		for _, id := range moves {
			second.get(part(3), `sid="`+id+`",ot=v`+measured)
		}
		if _, n := sum(); n > 4 {
			t.Errorf("%d viewers of 4", n)
		}
	}
	f, n := sum()
	first.want("viewers", n, 4)
	first.want("starts", f.Starts, 4)
	first.want("startups", f.Startups, 4)
	first.want("startup", f.StartupMS, 1200)
}

// A session that comes back to an edge has told another one of its stalls meanwhile: each is counted once, at whichever
// edge that hears of it.
func TestStallsOfWhoComesBackAreCountedOnce(t *testing.T) {
	for name, row := range map[string]struct {
		reports [3][]string // to the first edge, to the second, and to the first again
		gap     time.Duration
		want    media.Viewing
	}{
		"our page, back at once": {
			reports: [3][]string{
				{`ot=m,su,oxbow-bsa=0,oxbow-bsda=0,oxbow-bsn=0,oxbow-bsdn=0`, `ot=v,oxbow-bsa=1,oxbow-bsda=300,oxbow-bsn=1,oxbow-bsdn=300`},
				{`ot=m,oxbow-bsa=2,oxbow-bsda=300,oxbow-bsn=1,oxbow-bsdn=0`, `ot=v,oxbow-bsa=2,oxbow-bsda=900,oxbow-bsn=0,oxbow-bsdn=600`},
				{`ot=m,oxbow-bsa=2,oxbow-bsda=900,oxbow-bsn=0,oxbow-bsdn=0`, `ot=v,oxbow-bsa=3,oxbow-bsda=1000,oxbow-bsn=1,oxbow-bsdn=100`},
			},
			want: media.Viewing{Stalls: 3, StalledMS: 1000},
		},
		"our page, and what it told the second edge was lost": {
			reports: [3][]string{
				{`ot=m,su,oxbow-bsa=0,oxbow-bsda=0,oxbow-bsn=0,oxbow-bsdn=0`},
				nil,
				{`ot=m,oxbow-bsa=1,oxbow-bsda=700,oxbow-bsn=1,oxbow-bsdn=700`, `ot=v,oxbow-bsa=1,oxbow-bsda=700,oxbow-bsn=1,oxbow-bsdn=700`},
			},
			gap:  20 * time.Second,
			want: media.Viewing{Stalls: 1, StalledMS: 700},
		},
		"the standard's keys, by the gap in its reports": {
			reports: [3][]string{
				{`ot=m,su,bsa=0,bsda=0,sn=1,v=2`, `ot=v,bsa=1,bsda=300,sn=2,v=2`},
				{`ot=m,bsa=1,bsda=300,sn=3,v=2`, `ot=v,bsa=2,bsda=900,sn=4,v=2`},
				{`ot=m,bsa=2,bsda=900,sn=10,v=2`, `ot=v,bsa=3,bsda=1000,sn=11,v=2`},
			},
			want: media.Viewing{Stalls: 3, StalledMS: 1000},
		},
		"the standard's keys, and retries that came nowhere": {
			reports: [3][]string{
				{`ot=m,su,bsa=0,bsda=0,sn=1,v=2`, `ot=v,bsa=1,bsda=300,sn=5,v=2`}, nil, {`ot=v,bsa=2,bsda=900,sn=9,v=2`},
			},
			gap:  20 * time.Second,
			want: media.Viewing{Stalls: 2, StalledMS: 900},
		},
		"the standard's keys, by its absence": {
			reports: [3][]string{
				{`ot=m,su,bsa=0,bsda=0`, `ot=v,bsa=1,bsda=300`}, {`ot=m,bsa=1,bsda=300`, `ot=v,bsa=2,bsda=900`},
				{`ot=m,bsa=2,bsda=900`, `ot=v,bsa=3,bsda=1000`},
			},
			gap:  20 * time.Second,
			want: media.Viewing{Stalls: 3, StalledMS: 1000},
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := newWorld(t, Config{Steered: true}), newWorld(t, Config{Steered: true})
			first.get("/"+stream+"/index.m3u8", `sid="s",ot=m,su`)
			for i, w := range []*world{first, second, first} {
				if i == 2 {
					first.pass(row.gap)
				}
				for _, report := range row.reports[i] {
					w.get(playlist, `sid="s",`+report)
					w.pass(200 * time.Millisecond)
				}
			}
			var sum media.Viewing
			for _, w := range []*world{first, second} {
				f, _ := w.now()
				sum.Add(f)
			}
			first.want("stalls", sum.Stalls, row.want.Stalls)
			first.want("stalled", sum.StalledMS, row.want.StalledMS)
		})
	}
}
