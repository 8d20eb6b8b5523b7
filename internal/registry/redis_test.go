package registry

import (
	"testing"
)

func TestRedis(t *testing.T) {
	s := MustRedis(t)
	conformance(t, (&redisBench{url: "redis://" + s.addr + "/3?"}).bench())
}
