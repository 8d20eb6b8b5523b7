package hlscheck

import "testing"

func TestFaultlessShowBreaksNoRule(t *testing.T) {
	r := record().judge(t)
	t.Log(r)
	if broken := r.Broken(); len(broken) > 0 {
		t.Errorf("a faultless show breaks %v", broken)
	}
}

// TestRulesAreAllAccountedFor: a rule is judged in a file, or it is said why not.
func TestRulesAreAllAccountedFor(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		if (r.Files == "") == (r.Why == "") {
			t.Errorf("%s is judged nowhere without a reason, or has both", r.ID)
		}
	}
}

func FuzzParsePlaylist(f *testing.F) {
	for _, x := range record().list[:20] {
		f.Add(string(x.Body))
	}
	f.Fuzz(func(_ *testing.T, text string) {
		rec := newFindings()
		p := parsePlaylist(rec, showBase+"a.m3u8", text)
		judgeMedia(rec, p)
		judgeMultivariant(rec, p)
	})
}

func FuzzParseMedia(f *testing.F) {
	f.Add(initOf(true, 1), fragmentOf(1, 0, 3, 3000, func(i int) bool { return i == 0 }, true))
	f.Add(initOf(false, 1), fragmentOf(1, 0, 3, 1024, func(int) bool { return true }, false))
	f.Add(initOf(true, 1), append(atom("moof", atom("mfhd", words(0, 1)), atom("traf", atom("tfhd", words(0x020000, 1)),
		atom("tfdt", words(1<<24, 0, 0)), atom("trun", words(1<<24|1, 1<<32-1, 92)))), atom("mdat")...))
	f.Fuzz(func(_ *testing.T, head, data []byte) {
		rec := newFindings()
		if i := parseInit(rec, head); i != nil {
			parseMedia(rec, i, data)
		}
	})
}
