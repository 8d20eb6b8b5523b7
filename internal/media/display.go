package media

// Display is what a stream says of showing its pictures beside its decoder configuration. The zero value says nothing.
type Display struct {
	// Rotation is how far the pictures are to be turned clockwise to be upright: 0, 90, 180 or 270 degrees.
	Rotation int `json:"rotation,omitempty"`
	// Light is how bright the content is, and Mastering the display that it was graded on: static metadata of HDR.
	Light     ContentLight `json:"content_light,omitzero"`
	Mastering Mastering    `json:"mastering,omitzero"`
}

// ContentLight is the content light level (CTA-861.3) in candelas per square metre; zero is unknown.
type ContentLight struct {
	Max     uint16 `json:"max"`     // MaxCLL: of the brightest pixel
	Average uint16 `json:"average"` // MaxFALL: of the brightest picture on average
}

// Mastering is a display's colour volume (SMPTE ST 2086), in the units and the order of the mdcv box (ISO/IEC 14496-12,
// 12.1.7) and of SEI.
type Mastering struct {
	// Primaries are x and y of green, blue and red, and White those of the white point, in steps of 0.00002.
	Primaries [3][2]uint16 `json:"primaries"`
	White     [2]uint16    `json:"white"`
	// Max and Min are luminances in 0.0001 candelas per square metre.
	Max uint32 `json:"max"`
	Min uint32 `json:"min"`
}

// Over gives what is said by d, and by old where d says nothing. Rotation is always d's.
func (d Display) Over(old Display) Display {
	if d.Light == (ContentLight{}) {
		d.Light = old.Light
	}
	if d.Mastering == (Mastering{}) {
		d.Mastering = old.Mastering
	}
	return d
}

// Shown gives the size of a picture of width by height once it is turned.
func (d Display) Shown(width, height int) (int, int) {
	if d.Rotation == 90 || d.Rotation == 270 {
		return height, width
	}
	return width, height
}
