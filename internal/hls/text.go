package hls

import (
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ContentType is the media type of every playlist (HTTP-1).
const ContentType = "application/vnd.apple.mpegurl"

// micros turns ticks into microseconds, rounded to the nearest one, without overflow for any media time.
func micros(ticks, timescale int64) int64 {
	whole, rest := ticks/timescale, ticks%timescale
	if rest < 0 {
		whole, rest = whole-1, rest+timescale
	}
	return whole*1e6 + (rest*1e6+timescale/2)/timescale
}

// appendMicros writes microseconds as seconds with six decimals.
func appendMicros(dst []byte, us int64) []byte {
	return appendDecimal(dst, us, 1e6)
}

// appendDecimal writes value/unit, unit being a power of ten, with all its decimals.
func appendDecimal(dst []byte, value, unit int64) []byte {
	dst = strconv.AppendInt(dst, value/unit, 10)
	dst = append(dst, '.')
	for rest := value % unit; unit > 1; {
		unit /= 10
		dst = append(dst, byte('0'+rest/unit))
		rest %= unit
	}
	return dst
}

// appendSeconds writes a duration as seconds with one to six decimals.
func appendSeconds(dst []byte, d time.Duration) []byte {
	dst = appendMicros(dst, int64(d/time.Microsecond))
	for dst[len(dst)-1] == '0' && dst[len(dst)-2] != '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// partUnits is what is printed for a part of so many ticks, in units of 10 us: rounded up, and one more (PRT-16).
func partUnits(ticks, timescale int64) int64 {
	whole, rest := ticks/timescale, ticks%timescale
	return whole*1e5 + (rest*1e5+timescale-1)/timescale + 1
}

func partTargetUnits(c *media.Constants) int64 {
	return partUnits(int64(c.PartTarget), int64(time.Second))
}

// appendDate writes EXT-X-PROGRAM-DATE-TIME with milliseconds and zone (PDT-5). By hand, since time's own formatting is
// half of what a segment costs.
func appendDate(dst []byte, date time.Time) []byte {
	date = date.UTC()
	year, month, day := date.Date()
	hour, minute, second := date.Clock()
	dst = append(dst, "#EXT-X-PROGRAM-DATE-TIME:"...)
	dst = appendDigits(dst, year/100, year%100)
	dst = append(appendDigits(append(dst, '-'), int(month)), '-')
	dst = append(appendDigits(dst, day), 'T')
	dst = append(appendDigits(dst, hour), ':')
	dst = append(appendDigits(dst, minute), ':')
	dst = append(appendDigits(dst, second), '.')
	ms := date.Nanosecond() / 1e6
	dst = append(dst, byte('0'+ms/100))
	return append(appendDigits(dst, ms%100), "Z\n"...)
}

// appendDigits writes each number, 0 to 99, with two digits.
func appendDigits(dst []byte, numbers ...int) []byte {
	for _, n := range numbers {
		dst = append(dst, byte('0'+n/10%10), byte('0'+n%10))
	}
	return dst
}

// appendMap writes the EXT-X-MAP of a take (CMF-16, DLT-6).
func appendMap(dst []byte, base string, take int, track string) []byte {
	dst = append(dst, `#EXT-X-MAP:URI="`...)
	dst = appendDir(dst, base, take, track)
	return append(dst, "init.mp4\"\n"...)
}

// appendDir writes the folder of a take's track: base{take}/{track}/.
func appendDir(dst []byte, base string, take int, track string) []byte {
	dst = append(dst, base...)
	dst = strconv.AppendInt(dst, int64(take), 10)
	dst = append(dst, '/')
	dst = append(dst, track...)
	return append(dst, '/')
}

// appendSegmentURI writes base{take}/{track}/{msn}.m4s.
func appendSegmentURI(dst []byte, base string, take int, track string, msn media.MSN) []byte {
	dst = appendDir(dst, base, take, track)
	dst = strconv.AppendInt(dst, int64(msn), 10)
	return append(dst, ".m4s"...)
}

// appendPartURI writes base{take}/{track}/{msn}.{part}.m4s.
func appendPartURI(dst []byte, base string, take int, track string, msn media.MSN, index int) []byte {
	dst = appendDir(dst, base, take, track)
	dst = strconv.AppendInt(dst, int64(msn), 10)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, int64(index), 10)
	return append(dst, ".m4s"...)
}

func appendInt(dst []byte, tag string, value int64) []byte {
	dst = append(dst, tag...)
	dst = strconv.AppendInt(dst, value, 10)
	return append(dst, '\n')
}
