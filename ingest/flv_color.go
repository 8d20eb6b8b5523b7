package ingest

import (
	"math"

	"github.com/oxbow-video/oxbow/internal/media"
)

// displayOf reads what colorInfo says of the light (Enhanced RTMP v2, "Metadata Frame"): hdrCll in candelas per square
// metre, hdrMdcv in CIE 1931 coordinates and candelas per square metre. What is missing or no number is left out whole.
func displayOf(info amfObject) (d media.Display) {
	if cll, ok := info.get("hdrCll").(amfObject); ok {
		average, okAverage := scaled(cll, "maxFall", 1, math.MaxUint16)
		most, okMost := scaled(cll, "maxCLL", 1, math.MaxUint16)
		if okAverage && okMost {
			d.Light = media.ContentLight{Max: uint16(most), Average: uint16(average)}
		}
	}
	mdcv, ok := info.get("hdrMdcv").(amfObject)
	if !ok {
		return d
	}
	whole := true
	value := func(name string, scale, most float64) uint32 {
		v, ok := scaled(mdcv, name, scale, most)
		whole = whole && ok
		return v
	}
	point := func(name string) [2]uint16 {
		const steps = 50000
		return [2]uint16{uint16(value(name+"X", steps, steps)), uint16(value(name+"Y", steps, steps))}
	}
	m := media.Mastering{
		Primaries: [3][2]uint16{point("green"), point("blue"), point("red")}, White: point("whitePoint"),
		Max: value("maxLuminance", 10000, math.MaxUint32), Min: value("minLuminance", 10000, math.MaxUint32),
	}
	if whole && m.Max > 0 {
		d.Mastering = m
	}
	return d
}

// scaled gives a number's multiple as an integer of at most most.
func scaled(object amfObject, name string, scale, most float64) (uint32, bool) {
	v, ok := object.get(name).(float64)
	v = math.Round(v * scale)
	return uint32(max(0, min(v, most))), ok && v >= 0 && v <= most
}
