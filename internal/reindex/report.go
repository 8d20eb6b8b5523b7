package reindex

import "github.com/oxbow-video/oxbow/internal/media"

// Item is a recording of which the report tells more than a count.
type Item struct {
	Recording string `json:"recording"`
	Reason    string `json:"reason"`
}

// Report is what was found and done.
type Report struct {
	DryRun bool `json:"dry_run"`
	// Local and Archived count the manifests that storage has.
	Local    int `json:"local"`
	Archived int `json:"archived"`
	// Added, Changed and Left count rows.
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Left    int `json:"left"`
	// Growing recordings are left to their nodes. Damaged ones can't be restored. Others were left for another reason.
	Growing []Item `json:"growing,omitempty"`
	Damaged []Item `json:"damaged,omitempty"`
	Others  []Item `json:"others,omitempty"`
	// Lost are in the catalog, and on no storage.
	Lost []Item `json:"lost,omitempty"`
	// Publishers and Streams are missing in the catalog.
	Publishers []string           `json:"missing_publishers,omitempty"`
	Streams    []media.StreamPath `json:"missing_streams,omitempty"`
	// PublisherSettings and StreamSettings are theirs, as the newest recordings had them, but for those that delete: of a
	// publisher what its streams have in common, of a stream the rest.
	PublisherSettings map[string]Settings `json:"publisher_settings,omitempty"`
	StreamSettings    map[string]Settings `json:"stream_settings,omitempty"`
}
