package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/oxbow-video/oxbow/internal/operator"
)

// Kinds of names that the API knows.
const (
	publisherNames = "publishers"
	streamNames    = "streams"
	recordingNames = "recordings"
	nodeNames      = "nodes"
)

// valueOf completes the value of a flag or of an argument; before is what stands in front of it in the same word.
func (l *typedLine) valueOf(v *kong.Value, before, prefix string) answer {
	a := answer{files: "none"}
	add := func(texts ...string) {
		for _, text := range texts {
			if strings.HasPrefix(text, prefix) {
				a.words = append(a.words, candidate{text: before + text})
			}
		}
	}
	holder := ""
	if v.Flag != nil {
		holder = v.Flag.PlaceHolder
	}
	switch {
	case v.Enum != "":
		for value := range v.EnumMap() {
			add(value)
		}
		slices.SortFunc(a.words, func(a, b candidate) int { return strings.Compare(a.text, b.text) })
	case v.IsBool():
		add("true", "false")
	case v.Tag.Type == "existingfile" || strings.HasPrefix(holder, "FILE"):
		a.files = "files"
	case strings.HasPrefix(holder, "DIR"):
		a.files = "dirs"
	case v.Name == "target": // of inspect: a directory, or a URL
		a.files = "dirs"
		add("s3://", "dir:", "http://")
	case strings.HasPrefix(v.Name, "archive") && holder == "URL":
		add("s3://", "dir:")
	default:
		if kind := l.kindOf(v); kind != "" {
			add(l.names(kind, prefix)...)
		}
	}
	return a
}

// kindOf says what names of the API a value takes; empty is none.
func (l *typedLine) kindOf(v *kong.Value) string {
	top := l.node
	for top.Parent != nil && top.Parent != l.app.Node {
		top = top.Parent
	}
	if top.Group == nil || top.Group.Key != "operate" {
		return ""
	}
	making := l.node.Name == "create"
	switch {
	case v.Name == "of", strings.HasPrefix(v.Name, "publisher["), v.Name == "scope":
		return streamNames
	case v.Name == "stream" && (!making || top.Name != "stream"):
		return streamNames
	case v.Name == "publisher", v.Name == "name" && top.Name == "publisher" && !making,
		v.Name == "name" && top.Name == "purge":
		return publisherNames
	case v.Name == "id" && top.Name == "node":
		return nodeNames
	case v.Name == "id" && slices.Contains([]string{"recording", "clip", "purge"}, top.Name), v.Name == "recording":
		return recordingNames
	}
	return ""
}

const (
	// completionPatience is how long a person who presses the key waits for the API.
	completionPatience = time.Second
	// maxCompletions bounds what is asked of it.
	maxCompletions = "200"
)

// apiNames gives what the API knows of a kind, and nothing if the environment does not say where it is, or it does not
// answer within the patience.
func apiNames(ctx context.Context, patience time.Duration, kind, prefix string) (names []string) {
	api, token := os.Getenv("OXBOW_API"), os.Getenv("OXBOW_TOKEN")
	if api == "" || token == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := operator.NewClient(operator.ClientConfig{
		URL: api, Token: token, Timeout: patience, Version: version,
	})
	if err != nil {
		return nil
	}
	publisher, _, inside := strings.Cut(prefix, "/")
	if kind == streamNames && !inside { // the slash is for the next press
		for _, name := range listNames(ctx, client, "/v1/publishers", "name") {
			names = append(names, name, name+"/")
		}
		return names
	}
	switch kind {
	case publisherNames:
		return listNames(ctx, client, "/v1/publishers", "name")
	case streamNames:
		for _, name := range listNames(ctx, client, "/v1/publishers/"+url.PathEscape(publisher)+"/streams", "name") {
			names = append(names, publisher+"/"+name)
		}
		return names
	case nodeNames:
		return listNames(ctx, client, "/v1/nodes", "id")
	}
	return listNames(ctx, client, "/v1/recordings", "id")
}

// ofShells says that a shell might take a character for its own.
func ofShells(r rune) bool { return r <= ' ' || strings.ContainsRune("'\"\\`$;&|<>()", r) }

// listNames gives a field of the first items of a list. Whatever goes wrong gives none.
func listNames(ctx context.Context, client *operator.Client, path, field string) (names []string) {
	text, err := client.Do(ctx, operator.Request{
		Method: http.MethodGet, Path: path, Query: url.Values{"limit": {maxCompletions}},
	})
	var page struct {
		Items []map[string]any `json:"items"`
	}
	if err != nil || json.Unmarshal(text, &page) != nil {
		return nil
	}
	for _, item := range page.Items {
		name, _ := item[field].(string)
		if name != "" && !strings.ContainsFunc(name, ofShells) {
			names = append(names, name)
		}
	}
	return names
}
