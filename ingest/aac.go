package ingest

// maxAudioConfig bounds an AudioSpecificConfig; the longest real ones, with a program config element, have some 40
// bytes.
const maxAudioConfig = 256

// audioConfigOK says whether the bytes can be an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1): some encoders send an
// empty one first, or none that means anything.
func audioConfigOK(config []byte) bool {
	if len(config) < 2 || len(config) > maxAudioConfig {
		return false
	}
	objectType := config[0] >> 3
	rateIndex := config[0]&7<<1 | config[1]>>7
	return objectType != 0 && rateIndex != 13 && rateIndex != 14 // reserved
}

// withoutADTS takes off an ADTS header (ISO/IEC 14496-3, 1.A.2.2) that some encoders leave before the access unit. It
// is taken for one only if it gives the unit's exact length.
func withoutADTS(unit []byte) ([]byte, bool) {
	if len(unit) < 7 || unit[0] != 0xff || unit[1]&0xf6 != 0xf0 {
		return unit, false
	}
	if int(unit[3]&3)<<11|int(unit[4])<<3|int(unit[5]>>5) != len(unit) {
		return unit, false
	}
	header := 7
	if unit[1]&1 == 0 {
		header = 9 // with a checksum
	}
	if len(unit) <= header {
		return unit, false
	}
	return unit[header:], true
}
