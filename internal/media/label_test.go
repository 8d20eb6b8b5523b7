package media

import "testing"

func FuzzParseLabelFilter(f *testing.F) {
	for _, text := range []string{"season", "season=2026", "a=", "=", "A=b", "a=b=c", "a=\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLabelFilter(text)
		if err != nil {
			return
		}
		again := l.Name
		if !l.Any {
			again += "=" + l.Value
		}
		if err := (Labels{l.Name: l.Value}).Check(); err != nil || again != text {
			t.Errorf("%q is read as %+v, which no label can be: %v", text, l, err)
		}
	})
}
