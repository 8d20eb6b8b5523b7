package packager

// Leave has the publication end with the segment that grows.
func (p *Publication) Leave() {}

// Leave has the member end with the segment that grows.
func (m *Member) Leave() {}
