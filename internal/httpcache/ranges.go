package httpcache

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// MaxRanges is the most ranges of a request that are looked at. A client that wants more gets the whole.
const MaxRanges = 16

// Range is a run of a body's bytes, up to but without To.
type Range struct{ From, To int64 }

// ContentRange renders the field's value (RFC 9110 section 14.4).
func (r Range) ContentRange(size int64) string {
	return "bytes " + strconv.FormatInt(r.From, 10) + "-" + strconv.FormatInt(r.To-1, 10) + "/" +
		strconv.FormatInt(size, 10)
}

// rangeSet gives what follows the unit of a Range, if that is bytes.
func rangeSet(s string) (set string, ok bool) {
	unit, set, found := strings.Cut(s, "=")
	return set, found && strings.EqualFold(strings.Trim(unit, " \t"), "bytes")
}

// ParseRange is ParseRanges for a Range without a comma, and allocates nothing. An empty range and ok is a request that
// can't be satisfied.
func ParseRange(s string, size int64) (Range, bool) {
	set, ok := rangeSet(s)
	if !ok {
		return Range{}, false
	}
	return parseSpec(strings.Trim(set, " \t"), size)
}

// ParseRanges reads a Range (RFC 9110 section 14.1.2) over a body of size bytes. Not ok is what has not the form, or
// too many ranges: then the whole is sent. No ranges and ok is a request that can't be satisfied. Ranges that overlap
// or touch are made one, and then all are in order.
func ParseRanges(s string, size int64) (ranges []Range, ok bool) {
	set, ok := rangeSet(s)
	if !ok {
		return nil, false
	}
	specs := 0
	for spec := range strings.SplitSeq(set, ",") {
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue
		}
		if specs++; specs > MaxRanges {
			return nil, false
		}
		r, ok := parseSpec(spec, size)
		if !ok {
			return nil, false
		}
		if r.From < r.To {
			ranges = append(ranges, r)
		}
	}
	return coalesce(ranges), specs > 0
}

// parseSpec reads one range; one that can't be satisfied is empty.
func parseSpec(spec string, size int64) (Range, bool) {
	first, last, dash := strings.Cut(spec, "-")
	from, fromOK := position(first)
	to, toOK := position(last)
	switch {
	case !dash:
	case first == "" && toOK: // the last so many bytes
		return Range{max(0, size-to), size}, true
	case fromOK && last == "":
		return Range{min(from, size), size}, true
	case fromOK && toOK && from <= to:
		return Range{min(from, size), min(to+1, size)}, true
	}
	return Range{}, false
}

func position(s string) (int64, bool) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func coalesce(ranges []Range) []Range {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	n := 0
	for i, r := range sorted {
		if i > 0 && r.From <= sorted[n-1].To {
			sorted[n-1].To = max(sorted[n-1].To, r.To)
			continue
		}
		sorted[n] = r
		n++
	}
	if n == len(ranges) {
		return ranges // as asked for
	}
	return sorted[:n]
}

// ParseContentRange reads the field of a 206 whose size is known.
func ParseContentRange(s string) (r Range, size int64, ok bool) {
	spec, found := strings.CutPrefix(s, "bytes ")
	span, total, slash := strings.Cut(spec, "/")
	first, last, dash := strings.Cut(span, "-")
	from, fromOK := position(first)
	to, toOK := position(last)
	size, sizeOK := position(total)
	ok = found && slash && dash && fromOK && toOK && sizeOK && from <= to && to < size
	return Range{from, to + 1}, size, ok
}
