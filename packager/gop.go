package packager

// maxGOPSamples is the longest GOP whose layout is planned; longer ones are parted as they come.
const maxGOPSamples = 2048

// layout says where the parts of a GOP end, so that the next IDR falls on a part's begin.
//
// Rule PRT-3 wants every part to have 85 % of PART-TARGET, but for those that hold an IDR or end their segment. A GOP
// that is no multiple of a part (25 frames at 25 fps with parts of 12) must have one short part, and only the first of
// the GOP may be it: 3 + 11 + 11. So the parts are counted back from the expected IDR.
type layout struct {
	gop   int64 // the expected length of a GOP in ticks; zero if none is known
	frame int64 // the usual length of a sample
	step  int64 // ticks from boundary to boundary, times count
	count int   // boundaries in a GOP; zero plans nothing
	n     int64 // samples in the GOP that step is counted in
}

// boundary gives the j-th of count boundaries, from the GOP's begin.
func (p *layout) boundary(j int) int64 {
	return p.gop - int64(p.count-j)*p.step*p.gop/p.n
}

// gopMeter watches a track's GOPs and plans the next one's layout by the last.
type gopMeter struct {
	times  []int64 // the samples' DTS since the last IDR
	start  int64
	lost   bool // more samples than times holds
	layout layout
}

// add notes a sample. At an IDR it plans the GOP that begins there; part is PART-TARGET, floor the least part, in
// ticks.
func (m *gopMeter) add(dts int64, idr bool, part, floor int64) {
	if idr {
		if len(m.times) > 0 && !m.lost && dts > m.start {
			m.plan(dts, part, floor)
		}
		m.times = m.times[:0]
		m.start = dts
		m.lost = false
	}
	if len(m.times) == maxGOPSamples {
		m.lost = true
		return
	}
	if m.times == nil {
		m.times = make([]int64, 0, 64)
	}
	m.times = append(m.times, dts)
}

func (m *gopMeter) plan(end, part, floor int64) {
	n := len(m.times)
	gop := end - m.start
	m.layout = layout{gop: gop, frame: gop / int64(n), n: int64(n)}
	if part <= 0 || gop <= part {
		return
	}
	most := int(min(part*int64(n)/gop, int64(n-1)))
	var low, high int64
	for ; most > 0; most-- {
		low, high = m.windows(most, end)
		// Where stamps jitter the next GOP may stray as far again.
		if jitter := high - low; high+jitter/2 <= part || (jitter <= 1 && high <= part) {
			break
		}
	}
	if most < 1 || low < floor {
		return
	}
	least := most
	for least > 1 {
		if low, _ := m.windows(least-1, end); low < floor {
			break
		}
		least--
	}
	parts := (n+most-1)/most - 1 // beside the first
	even := (n + parts) / (parts + 1)
	m.layout.step = int64(min(max(even, least), most))
	m.layout.count = parts
}

// windows gives the shortest and the longest run of count samples.
func (m *gopMeter) windows(count int, end int64) (low, high int64) {
	at := func(i int) int64 {
		if i == len(m.times) {
			return end
		}
		return m.times[i]
	}
	low = 1 << 62
	for i := 0; i+count <= len(m.times); i++ {
		d := at(i+count) - at(i)
		low, high = min(low, d), max(high, d)
	}
	return low, high
}
