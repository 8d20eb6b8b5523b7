package cmcd

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

// What hls.js 1.7.4 sends of a low-latency stream, versions 1 and 2.
const (
	hlsV1 = `bl=1400,br=2600,bs,d=200,dl=1400,mtp=48300,nor="..%2F1%2Fvideo%2F8.1.m4s",ot=v,rtp=13000,sf=h,` +
		`sid="6b7cbb54-8b0c-4d8c-9b8c-000000000001",st=ll,su,tb=2600`
	hlsV2 = `bl=(1400),br=(2600),d=200,dl=1400,lb=(2600),mtp=(48300),nor=("../1/video/8.1.m4s"),ot=v,pb=(2600),rtp=13000,` +
		`sf=h,sid="s-2",sn=17,st=ll,sta=p,tb=(2600),tpb=(2600),v=2`
)

// texts are reports, and what is wrong with them if anything is. The fuzz targets begin with them.
func texts() map[string]struct {
	text  string
	wrong bool
	check func(d *Data) bool
} {
	return map[string]struct {
		text  string
		wrong bool
		check func(d *Data) bool
	}{
		"hls.js, version 1": {text: hlsV1, check: func(d *Data) bool {
			return d.Version == 1 && d.Buffer == 1400 && d.Bitrate == 2600 && d.Starved && d.Urgent && d.Throughput == 48300 &&
				d.Object == ObjectVideo && d.Live && !d.VOD && d.Duration == 200 && d.State == StateUnknown &&
				string(d.Session()) == "6b7cbb54-8b0c-4d8c-9b8c-000000000001" && d.Rate == 1000 &&
				d.Has == HasBitrate|HasBuffer|HasThroughput|HasDuration
		}},
		"hls.js, version 2": {text: hlsV2, check: func(d *Data) bool {
			return d.Version == 2 && d.Buffer == 1400 && d.State == StatePlaying && d.Sequence == 17 && !d.Urgent &&
				d.Throughput == 48300 && string(d.Session()) == "s-2"
		}},
		"a list of kinds": {text: `bl=(900;a 1400;v),br=(128;a 2600;v)`, check: func(d *Data) bool {
			return d.Buffer == 900 && d.Bitrate == 2600
		}},
		"an empty list":         {text: `bl=(),br=( )`, check: func(d *Data) bool { return d.Has == 0 }},
		"figures of a session":  {text: `bsa=2,bsda=1500,msd=730`, check: sessionFigures},
		"the same, by a page":   {text: `oxbow-bsa=2,oxbow-bsda=1500,oxbow-msd=730`, check: sessionFigures},
		"what of it is new":     {text: `oxbow-bsa=2,oxbow-bsda=1500,oxbow-bsdn=600,oxbow-bsn=1`, check: newFigures},
		"errors that it counts": {text: `ec=("a" "b"),oxbow-err=3`, check: func(d *Data) bool { return d.Errors == 3 && !d.ErrorCodes }},
		"codes of errors":       {text: `ec=("a" "b")`, check: func(d *Data) bool { return d.Errors == 2 && d.ErrorCodes }},
		"a decimal":             {text: `pr=1.0625,d=4004.3`, check: func(d *Data) bool { return d.Rate == 1062 && d.Duration == 4004 }},
		"booleans":              {text: `su=?1,bs=?0`, check: func(d *Data) bool { return d.Urgent && !d.Starved }},
		"spaces after commas":   {text: `su,  bs`, check: func(d *Data) bool { return d.Urgent && d.Starved }},
		"keys of others":        {text: `com.example-hello="a \"b\" \\",x-Y=12;p=1;q,z=(1 2);u`, check: func(d *Data) bool { return d.Has == 0 }},
		"a number past all":     {text: `mtp=999999999999999`, check: func(d *Data) bool { return d.Throughput == maxNumber }},
		"a key twice":           {text: `bl=1,bl=2`, check: func(d *Data) bool { return d.Buffer == 2 }},
		"an unknown object":     {text: `ot=zzz,sta=zzz,st=zzz`, check: func(d *Data) bool { return d.Object == ObjectOther && d.State == StateUnknown }},
		"a session without id":  {text: `sid=""`, check: func(d *Data) bool { return d.Session() == nil }},

		"a comma at the end":     {text: `su,`, wrong: true},
		"two commas":             {text: `su,,bs`, wrong: true},
		"no comma":               {text: `su bs`, wrong: true},
		"no value":               {text: `bl=`, wrong: true},
		"a number of text":       {text: `bl="12"`, wrong: true},
		"below zero":             {text: `bl=-1`, wrong: true},
		"a flag with a number":   {text: `su=1`, wrong: true},
		"sixteen digits":         {text: `bl=1234567890123456`, wrong: true},
		"an open string":         {text: `sid="abc`, wrong: true},
		"a bad escape":           {text: `sid="a\b"`, wrong: true},
		"a control character":    {text: "sid=\"a\x01\"", wrong: true},
		"beyond ASCII":           {text: "sid=\"\u00e9\"", wrong: true},
		"a session id too long":  {text: `sid="` + strings.Repeat("x", 65) + `"`, wrong: true},
		"a session of a token":   {text: `sid=abc`, wrong: true},
		"an open list":           {text: `bl=(1 2`, wrong: true},
		"a list without blanks":  {text: `bl=(1"a")`, wrong: true},
		"a list of two types":    {text: `bl=(1 "a")`, wrong: true},
		"a list in a list":       {text: `bl=((1))`, wrong: true},
		"a key of digits":        {text: `1a=2`, wrong: true},
		"a parameter of nothing": {text: `bl=1;`, wrong: true},
		"version zero":           {text: `v=0`, wrong: true},
		"more keys than are":     {text: strings.Repeat("a,", 64) + "a", wrong: true},
		"too long":               {text: `nor="` + strings.Repeat("x", MaxText) + `"`, wrong: true},
	}
}

func sessionFigures(d *Data) bool {
	return d.Stalls == 2 && d.Stalled == 1500 && d.Startup == 730 && d.Has == HasStartup|HasStalls|HasStalled
}

func TestReports(t *testing.T) {
	for name, row := range texts() {
		t.Run(name, func(t *testing.T) {
			var byQuery, byHeader Data
			raw := "_HLS_msn=3&CMCD=" + url.QueryEscape(row.text) + "&x=1"
			for how, err := range map[string]error{
				"query": byQuery.ReadQuery(raw), "headers": byHeader.ReadHeaders([4]string{2: row.text}),
			} {
				if row.wrong != errors.Is(err, ErrMalformed) {
					t.Errorf("by %s: %v, want malformed %t", how, err, row.wrong)
				}
			}
			if row.wrong {
				if !byQuery.Empty() || !byHeader.Empty() || byQuery.Has != 0 || byQuery.Urgent {
					t.Error("a malformed report gave something")
				}
				return
			}
			if !row.check(&byQuery) {
				t.Errorf("by query: %+v", summary(&byQuery))
			}
			if !row.check(&byHeader) {
				t.Errorf("by headers: %+v", summary(&byHeader))
			}
		})
	}
}

func summary(d *Data) Data {
	s := *d
	s.text = [MaxText + 1]byte{}
	return s
}

func TestReportsAreFoundInQueries(t *testing.T) {
	for raw, want := range map[string]int{
		"CMCD=bl%3D7":               7,
		"a=b&CMCD=bl%3D7":           7,
		"xCMCD=bl%3D6&CMCD=bl%3D7":  7,
		"xCMCD=bl%3D6":              0,
		"a=CMCD=bl%3D6":             0,
		"cmcd=bl%3D6":               0, // CTA-5004 writes it in capitals
		"":                          0,
		"_HLS_msn=4&_HLS_part=CMCD": 0,
	} {
		var d Data
		if err := d.ReadQuery(raw); err != nil || d.Buffer != want || d.Empty() != (want == 0) {
			t.Errorf("%q: buffer %d, empty %t, %v; want %d", raw, d.Buffer, d.Empty(), err, want)
		}
	}
	var d Data
	for _, raw := range []string{"CMCD=%", "CMCD=%4", "CMCD=%zz", "CMCD=bl%3D1%2"} {
		if err := d.ReadQuery(raw); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestHeadersAreOneReport(t *testing.T) {
	var d Data
	err := d.ReadHeaders([4]string{"br=3200,d=4004,ot=v", "bl=2100,mtp=25400,su", `sid="a",st=v`, "bs,rtp=9000"})
	if err != nil || d.Bitrate != 3200 || d.Buffer != 2100 || !d.Starved || !d.VOD || string(d.Session()) != "a" {
		t.Errorf("%+v, %v", summary(&d), err)
	}
	if err := d.ReadHeaders([4]string{}); err != nil || !d.Empty() {
		t.Errorf("no headers: %v", err)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	var d Data
	raw := "CMCD=" + url.QueryEscape(hlsV2)
	if n := testing.AllocsPerRun(100, func() { _ = d.ReadQuery(raw) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzQuery(f *testing.F) {
	for _, row := range texts() {
		f.Add("CMCD=" + url.QueryEscape(row.text))
		f.Add("a=1&CMCD=" + row.text)
	}
	f.Fuzz(func(t *testing.T, raw string) { check(t, func(d *Data) error { return d.ReadQuery(raw) }) })
}

func FuzzHeaders(f *testing.F) {
	for _, row := range texts() {
		f.Add(row.text, "bs")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		check(t, func(d *Data) error { return d.ReadHeaders([4]string{one, two}) })
	})
}

// check holds what is read against the bounds.
func check(t *testing.T, read func(d *Data) error) {
	t.Helper()
	var d Data
	err := read(&d)
	if err != nil && (!d.Empty() || d.Has != 0 || d.Session() != nil) {
		t.Errorf("malformed, and yet: %+v", summary(&d))
	}
	for _, n := range []int{
		d.Bitrate, d.Throughput, d.Buffer, d.Duration, d.Rate, d.Startup, d.Stalls, d.Stalled, d.Errors, d.Sequence,
		d.NewStalls, d.NewStalled,
	} {
		if n < 0 || n > maxNumber {
			t.Errorf("%d is out of bounds: %+v", n, summary(&d))
		}
	}
	if len(d.Session()) > MaxSession {
		t.Errorf("session %q", d.Session())
	}
}

func BenchmarkQuery(b *testing.B) {
	for name, text := range map[string]string{"v1": hlsV1, "v2": hlsV2} {
		b.Run(name, func(b *testing.B) {
			var d Data
			raw := "_HLS_msn=8&_HLS_part=1&CMCD=" + url.QueryEscape(text)
			b.ReportAllocs()
			for b.Loop() {
				if err := d.ReadQuery(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// slow reads what stands in a query by the parser alone.
func slow(raw string) (d Data, err error) {
	d.reset()
	if err = d.unescape(raw); err == nil {
		err = d.parsed(d.text[:d.used])
	}
	return d, err
}

// same holds what quick reads against the parser's.
func same(t *testing.T, raw string) (taken bool) {
	t.Helper()
	var quick Data
	quick.reset()
	if !quick.quick(raw) {
		return false
	}
	want, err := slow(raw)
	if err != nil {
		t.Fatalf("%q is malformed, and was read: %+v", raw, summary(&quick))
	}
	if string(quick.Session()) != string(want.Session()) {
		t.Errorf("%q: session %q, want %q", raw, quick.Session(), want.Session())
	}
	a, b := summary(&quick), summary(&want)
	a.session, a.length, a.used, b.session, b.length, b.used = 0, 0, 0, 0, 0, 0
	if a != b {
		t.Errorf("%q: %+v, want %+v", raw, a, b)
	}
	return true
}

func TestTheQuickWayGivesTheSame(t *testing.T) {
	for name, row := range texts() {
		t.Run(name, func(t *testing.T) {
			if taken := same(t, url.QueryEscape(row.text)); name == "hls.js, version 1" && !taken {
				t.Error("what players send went by the parser")
			}
			same(t, row.text)
		})
	}
	for _, odd := range []string{
		"", "%", "su%2C", "su%2Cbs", "-su", "bl%3D1.5", "bl%3D-1", "bl%3D", "sid%3D%22", "sid%3D%22a%2C", "sid%3D%22a%5C%22%22",
		"nor%3D%22a%5C%22", "nor%3D%22a%7f%22", "nor%3D%22a%zz%22", "nor%3D%22a%2%22", "nor%3D%22%252F%22", "ot%3Dv%3Bx",
		"sid%3D%22%22", "sid%3D%22a%22b", "ot%3Dv1", "bl%3D1%2Cbl%3D2", "sid%3D%22a%22%2Csid%3D%22%22", "su+", "su,bs",
	} {
		same(t, odd)
	}
}

func FuzzQuick(f *testing.F) {
	for _, row := range texts() {
		f.Add(url.QueryEscape(row.text))
		f.Add(row.text)
	}
	f.Fuzz(func(t *testing.T, raw string) { same(t, raw) })
}

func newFigures(d *Data) bool {
	return d.NewStalls == 1 && d.NewStalled == 600 && d.Has&HasNewStalls != 0 && d.Has&HasNewStalled != 0
}
