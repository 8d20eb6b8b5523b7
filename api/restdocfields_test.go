package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

const schemaPrefix = "#/components/schemas/"

// resolve gives the schema that a reference names.
func resolve(doc, schema object) object {
	if name, ok := strings.CutPrefix(text(schema, "$ref"), schemaPrefix); ok {
		return inside(doc, "components", "schemas", name)
	}
	return schema
}

// writeSchemas writes what answers are made of.
func writeSchemas(b *strings.Builder, doc object) {
	b.WriteString("\n## Things in answers\n")
	used := map[string]bool{}
	var use func(v any)
	use = func(v any) {
		switch v := v.(type) {
		case object:
			if name, ok := strings.CutPrefix(text(v, "$ref"), schemaPrefix); ok && !used[name] {
				used[name] = true
				use(inside(doc, "components", "schemas", name))
			}
			for key, part := range v {
				if key != "requestBody" {
					use(part)
				}
			}
		case []any:
			for _, part := range v {
				use(part)
			}
		}
	}
	use(doc["paths"])
	for _, list := range byTag(doc) {
		for _, op := range list { // a body's own fields are where it is asked for: what they refer to is here
			schema := resolve(doc, inside(op.object, "requestBody", "content", "application/json", "schema"))
			use(schema["properties"])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(b, "\n### %s\n\n", name)
		schema := inside(doc, "components", "schemas", name)
		if told := text(schema, "description"); told != "" {
			fmt.Fprintf(b, "%s\n\n", oneLine(told))
		}
		writeFields(b, schema)
	}
}

// writeFields writes the fields of an object. The settings, which are many and have a page of their own, are one row.
func writeFields(b *strings.Builder, schema object) {
	properties := inside(schema, "properties")
	if properties == nil {
		fmt.Fprintf(b, "%s\n", kindOf(schema))
		return
	}
	required := map[any]bool{}
	list, _ := schema["required"].([]any)
	for _, name := range list {
		required[name] = true
	}
	settings := map[string]bool{}
	if properties["dvr_window"] != nil {
		for _, setting := range media.SettingsTable() {
			settings[setting.Name] = true
		}
	}
	b.WriteString("| field | kind | |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if !settings[name] && name != "$schema" {
			p := inside(properties, name)
			fmt.Fprintf(b, "| `%s`%s | %s | %s |\n", name, star(required[name]), kindOf(p), cell(text(p, "description")))
		}
	}
	if len(settings) > 0 {
		b.WriteString("| the settings | | each of [settings.md](settings.md), by its name |\n")
	}
}

func star(must bool) string {
	if must {
		return " *"
	}
	return ""
}

// kindOf says in words what a schema lets through.
func kindOf(s object) string {
	if name, ok := strings.CutPrefix(text(s, "$ref"), schemaPrefix); ok {
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	}
	names, null := typesOf(s)
	kind := strings.Join(names, " or ")
	switch {
	case kind == "array":
		kind = "list of " + kindOf(inside(s, "items"))
	case kind == "object" && inside(s, "additionalProperties") != nil:
		kind = "object of " + kindOf(inside(s, "additionalProperties"))
	case kind == "string" && text(s, "format") == "date-time":
		kind = "time"
	case kind == "string" && text(s, "pattern") == media.SpanPattern:
		kind = "duration"
	case kind == "":
		kind = "anything"
	}
	if list, _ := s["enum"].([]any); len(list) == len(media.SettingsTable()) {
		kind = "names of [settings](settings.md)"
	} else if len(list) > 0 {
		var words []string
		for _, word := range list {
			words = append(words, fmt.Sprintf("`%v`", word))
		}
		kind = strings.Join(words, ", ")
	}
	return cell(kind + rangeOf(s, kind) + null)
}

func typesOf(s object) (names []string, null string) {
	list, ok := s["type"].([]any)
	if !ok {
		list = []any{s["type"]}
	}
	for _, v := range list {
		switch name, _ := v.(string); name {
		case "null":
			null = ", or null"
		case "":
		default:
			names = append(names, name)
		}
	}
	return names, null
}

// rangeOf tells the bounds of a schema.
func rangeOf(s object, kind string) string {
	var told []string
	add := func(from, to, unit string) {
		least, has := s[from].(float64)
		most, bounded := s[to].(float64)
		switch {
		case has && bounded && least == most:
			told = append(told, number(least)+unit)
		case has && bounded:
			told = append(told, number(least)+" to "+number(most)+unit)
		case bounded:
			told = append(told, "at most "+number(most)+unit)
		case has && least > 0:
			told = append(told, "at least "+number(least)+unit)
		}
	}
	add("minimum", "maximum", "")
	add("minLength", "maxLength", " characters")
	add("minItems", "maxItems", " of them")
	if words := text(s, "patternDescription"); words != "" && kind != "duration" {
		told = append(told, words)
	} else if pattern := text(s, "pattern"); pattern != "" && kind != "duration" {
		told = append(told, "`"+pattern+"`")
	}
	if v, has := s["default"]; has {
		told = append(told, fmt.Sprintf("default `%v`", v))
	}
	if len(told) == 0 {
		return ""
	}
	return ", " + strings.Join(told, ", ")
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// cell makes text fit for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(oneLine(s), "|", "\\|") }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
