package media

// Sort says in which order recordings are listed; the empty one is SortNewest.
type Sort string

// The orders, each also turned around. Those by anything but the start are of recordings that have ended, since what
// grows would change its place between two pages.
const (
	SortNewest  Sort = "-started_at"
	SortOldest  Sort = "started_at"
	SortEnd     Sort = "ended_at"
	SortEndDown Sort = "-ended_at"
	SortShort   Sort = "duration"
	SortLong    Sort = "-duration"
	SortSmall   Sort = "bytes"
	SortBig     Sort = "-bytes"
)

// Sorts lists every order.
func Sorts() []Sort {
	return []Sort{SortNewest, SortOldest, SortEndDown, SortEnd, SortLong, SortShort, SortBig, SortSmall}
}

// Ended says that the order is one of recordings that have ended.
func (s Sort) Ended() bool { return s != "" && s != SortNewest && s != SortOldest }
