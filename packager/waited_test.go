package packager

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestInterruptionsAreCountedAndTheLongestIsTold(t *testing.T) {
	onStage(t, func(s *stage) {
		told := func(count, least, most float64) {
			t.Helper()
			if n := testutil.ToFloat64(s.metrics.interruptions); n != count {
				t.Errorf("%v interruptions are counted, want %v", n, count)
			}
			if n := testutil.ToFloat64(s.metrics.longest); n < least || n > most {
				t.Errorf("the longest has lasted %v s, want %v to %v", n, least, most)
			}
		}
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		told(0, 0, 0)
		s.close(p, false)
		s.wait(20 * time.Second)
		told(1, 19, 20)
		p, src = s.open()
		s.play(p, src, 5*time.Second)
		told(1, 0, 0)
		s.close(p, false)
		s.wait(10 * time.Second)
		told(2, 9, 10)
	})
}
