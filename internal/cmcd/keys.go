package cmcd

// set takes a key's value over. False: the value is none that the key may have.
//
// Of version 2's keys for the whole session hls.js 1.7 can send none: it has its page add only keys of its own, which
// have a hyphen. So msd, bsa and bsda are known as oxbow-msd, oxbow-bsa and oxbow-bsda too, and oxbow-err counts
// errors. Of stalls, oxbow-bsn and oxbow-bsdn are how much of bsa and bsda was not answered yet: an edge that a viewer
// comes to, or comes back to, knows by them what it was not told, and no other was.
func (d *Data) set(key string, v *item) bool {
	switch key {
	case "sid":
		if v.kind != kindString || v.to-v.from > MaxSession || v.list {
			return false
		}
		if v.to > v.from {
			d.session, d.length = v.from, v.to-v.from
		}
	case "v":
		if !v.number() || v.most < 1000 || v.most > 255000 {
			return false
		}
		d.Version = uint8(v.most / 1000)
	case "ot":
		return d.setObject(v)
	case "sta":
		return d.setState(v)
	case "st":
		return d.setStream(v)
	case "su":
		return v.flag(&d.Urgent)
	case "bs":
		return v.flag(&d.Starved)
	case "br":
		return d.amount(v.most, v, &d.Bitrate, HasBitrate)
	case "mtp":
		return d.amount(v.most, v, &d.Throughput, HasThroughput)
	case "bl":
		return d.amount(v.least, v, &d.Buffer, HasBuffer)
	case "d":
		return d.amount(v.most, v, &d.Duration, HasDuration)
	case "pr":
		if !v.number() || v.most < 0 || v.most > maxNumber {
			return false
		}
		d.Rate = int(v.most)
	case "sn":
		return d.amount(v.most, v, &d.Sequence, HasSequence)
	case "msd", "oxbow-msd":
		return d.amount(v.most, v, &d.Startup, HasStartup)
	case "bsa", "oxbow-bsa":
		return d.amount(v.most, v, &d.Stalls, HasStalls)
	case "bsda", "oxbow-bsda":
		return d.amount(v.most, v, &d.Stalled, HasStalled)
	case "oxbow-bsn":
		return d.amount(v.most, v, &d.NewStalls, HasNewStalls)
	case "oxbow-bsdn":
		return d.amount(v.most, v, &d.NewStalled, HasNewStalled)
	case "oxbow-err":
		d.ErrorCodes = false
		return d.amount(v.most, v, &d.Errors, HasErrors)
	case "ec":
		if d.Has&HasErrors == 0 && v.count > 0 {
			d.Errors, d.ErrorCodes = v.count, true
			d.Has |= HasErrors
		} else if d.Has&HasErrors == 0 && !v.list {
			d.Errors, d.ErrorCodes = 1, true
			d.Has |= HasErrors
		}
	}
	return true
}

func (v *item) number() bool { return v.kind == kindNumber }

func (v *item) flag(into *bool) bool {
	*into = v.truth
	return v.kind == kindBool && !v.list
}

// amount takes a number over. An empty list says nothing; what is past the bounds is the nearest that is not.
func (d *Data) amount(thousandths int64, v *item, into *int, has Fields) bool {
	if v.list && v.count == 0 {
		return true
	}
	if !v.number() || thousandths < 0 {
		return false
	}
	*into = int(min(thousandths/1000, maxNumber))
	d.Has |= has
	return true
}

func (d *Data) setObject(v *item) bool {
	if v.kind != kindToken || v.list {
		return false
	}
	switch string(d.text[v.from:v.to]) {
	case "m":
		d.Object = ObjectPlaylist
	case "a":
		d.Object = ObjectAudio
	case "v":
		d.Object = ObjectVideo
	case "av":
		d.Object = ObjectMuxed
	case "i":
		d.Object = ObjectInit
	default:
		d.Object = ObjectOther
	}
	return true
}

func (d *Data) setState(v *item) bool {
	if v.kind != kindToken || v.list {
		return false
	}
	d.State = StateUnknown
	if v.to-v.from != 1 {
		return true
	}
	switch d.text[v.from] {
	case 's':
		d.State = StateStarting
	case 'p':
		d.State = StatePlaying
	case 'k':
		d.State = StateSeeking
	case 'r':
		d.State = StateStalled
	case 'a':
		d.State = StatePaused
	case 'f':
		d.State = StateFailed
	case 'e':
		d.State = StateEnded
	case 'd':
		d.State = StatePreloading
	}
	return true
}

func (d *Data) setStream(v *item) bool {
	if v.kind != kindToken || v.list {
		return false
	}
	text := d.text[v.from:v.to]
	d.Live, d.VOD = string(text) == "l" || string(text) == "ll", string(text) == "v"
	return true
}
