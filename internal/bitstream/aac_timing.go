package bitstream

// AACTiming says how long an access unit is by its AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1 and 4.4.1): samples at
// the rate of the core codec, without spectral band replication.
func AACTiming(config []byte) (samples, rate int64, ok bool) {
	rates := [...]int64{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	b := bits{data: config}
	objectType := aacObjectType(&b)
	switch code := b.read(4); {
	case code == 15:
		rate = int64(b.read(24))
	case int(code) < len(rates):
		rate = rates[code]
	}
	b.skip(4) // channelConfiguration
	if objectType == 5 || objectType == 29 {
		skipAACRate(&b)
		if aacObjectType(&b) == 22 {
			b.skip(4)
		}
	}
	samples = aacFrameSamples
	if b.flag() { // frameLengthFlag
		samples = 960
	}
	return samples, rate, rate > 0 && !b.bad
}
