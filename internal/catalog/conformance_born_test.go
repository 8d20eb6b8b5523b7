package catalog

import (
	"testing"
	"time"
)

func (s suite) testBorn(t *testing.T) {
	db := s.open(t)
	born, err := db.BornAt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(born); age < -2*time.Second || age > 10*time.Minute {
		t.Errorf("a catalog that was made just now says %v ago", age)
	}
}
