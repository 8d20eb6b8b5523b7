package hlscheck

import "testing"

func TestFaultlessShowBreaksNoRule(t *testing.T) {
	r := record().judge(t)
	t.Log(r)
	if broken := r.Broken(); len(broken) > 0 {
		t.Errorf("a faultless show breaks %v", broken)
	}
}
