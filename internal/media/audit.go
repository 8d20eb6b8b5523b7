package media

import (
	"encoding/json"
	"time"
)

// AuditEntry tells of one request that changed something, or tried to.
type AuditEntry struct {
	ID         string
	Time       time.Time
	TokenID    string
	TokenLabel string // as it was then
	// Publisher is the token's own, else the one that the request was about; empty is none, or all.
	Publisher string
	Operation string // its id in the OpenAPI document
	Method    string
	Path      string
	Status    int    // of the answer
	Remote    string // the address that it came from
	// Fields is a JSON object of what the request set, without secrets; nil is {}.
	Fields json.RawMessage
}

// AuditFilter selects entries of the audit log; zero values select all.
type AuditFilter struct {
	Publisher string
	Operation string
	TokenID   string
	Since     time.Time // at or after
	Until     time.Time // before
	Limit     int       // 1 to 1000; zero is 50
	Cursor    string
}
