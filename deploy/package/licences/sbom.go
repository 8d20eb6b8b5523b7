package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// cyclonedx writes the list by CycloneDX 1.6. Its serial number is drawn from what it lists, and its time is the
// commit's: the same source gives the same bytes.
func cyclonedx(all []component, version, date string) ([]byte, error) {
	if date != "" {
		if _, err := time.Parse(time.RFC3339, date); err != nil {
			return nil, fmt.Errorf("-date %q: use the commit's, like 2026-11-22T09:00:00Z", date)
		}
	}
	type licence struct {
		License map[string]string `json:"license"`
	}
	type hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	type part struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Hashes   []hash    `json:"hashes,omitempty"`
		Licences []licence `json:"licenses,omitempty"`
		PURL     string    `json:"purl"`
	}
	type dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	}
	own := component{kind: "golang", name: "github.com/oxbow-video/oxbow", version: version}.purl()
	parts, uses := []part{}, dependency{Ref: own}
	for _, c := range all {
		p := part{Type: "library", Ref: c.purl(), Name: c.name, Version: c.version, PURL: c.purl()}
		if c.digest != "" {
			p.Hashes = []hash{{"SHA-512", c.digest}}
		}
		for _, id := range c.licences() {
			field := "id"
			if slices.Contains([]string{"PublicDomain", "SQLite", unknownLicence}, id) { // SPDX has no such id
				field = "name"
			}
			p.Licences = append(p.Licences, licence{map[string]string{field: id}})
		}
		parts = append(parts, p)
		uses.On = append(uses.On, c.purl())
	}
	metadata := map[string]any{
		"component": part{Type: "application", Ref: own, Name: "oxbow", Version: version, PURL: own},
	}
	if date != "" {
		metadata["timestamp"] = date
	}
	listed, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	serial := sha256.Sum256(append([]byte(version+"\n"+date+"\n"), listed...))
	serial[6], serial[8] = serial[6]&0x0f|0x80, serial[8]&0x3f|0x80 // RFC 9562, version 8
	id := fmt.Sprintf("%x-%x-%x-%x-%x", serial[:4], serial[4:6], serial[6:8], serial[8:10], serial[10:16])
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err = encoder.Encode(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": metadata, "components": parts,
		"serialNumber": "urn:uuid:" + id,
		"dependencies": []dependency{uses},
	})
	return text.Bytes(), err
}
