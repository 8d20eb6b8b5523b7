package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

const (
	runbooks   = "https://github.com/oxbow-video/oxbow/blob/main/docs/runbooks/"
	datasource = "oxbow-prometheus"
	// schema is Grafana 10's; later ones migrate it as they load it.
	schema = 39
	colour = "color" //nolint:misspell // Grafana's word
	width  = 24      // of a row
)

// dashboard is one page.
type dashboard struct {
	role, title, about string
	// clusters says that its series have the label cluster.
	clusters bool
	job      string // a regular expression
	rows     []row
}

// row is a heading with panels under it.
type row struct {
	title  string
	panels []panel
}

// panel answers one question, which is its about.
type panel struct {
	title, about string
	unit         string
	queries      []query
	// runbook is what to read when it looks bad.
	runbook string
	// stat shows the newest value alone, in colours by thresholds.
	stat       bool
	thresholds []threshold
	// stacked sums the series up.
	stacked bool
}

// query is a PromQL expression and how its series are called.
type query struct{ expr, legend string }

// threshold is a colour from a value on.
type threshold struct {
	from   float64
	colour string
}

func (d dashboard) file() string { return d.role + ".json" }

func (d dashboard) uid() string { return "oxbow-" + d.role }

// object keeps what Grafana has as an object; encoding/json writes its keys in order.
type object = map[string]any

func source() object { return object{"type": "prometheus", "uid": datasource} }

// json is the dashboard as Grafana reads it, with its keys in order.
func (d dashboard) json() []byte {
	links := []object{}
	for _, other := range dashboards() {
		if other.role != d.role {
			links = append(links, object{
				"title": other.title, "type": "link", "url": "/d/" + other.uid(), "keepTime": true, "icon": "dashboard",
			})
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(object{
		"uid": d.uid(), "title": d.title, "description": d.about, "tags": []string{"oxbow"}, "schemaVersion": schema,
		"version": 1, "editable": false, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
		"time": object{"from": "now-3h", "to": "now"}, "links": links,
		"templating": object{"list": d.variables()}, "panels": d.panels(),
		"annotations": object{"list": []object{{
			"name": "Alerts", "enable": true, "datasource": source(), "iconColor": "red",
			"expr":        `ALERTS{alertname=~"Oxbow.*", alertstate="firing", severity=~"critical|warning"}`,
			"titleFormat": "{{alertname}}",
		}}},
	})
	if err != nil {
		panic("BUG: a dashboard that is no JSON: " + err.Error())
	}
	return b.Bytes()
}

// variables are what the reader chooses.
func (d dashboard) variables() []object {
	choice := func(name, label, expr string) object {
		return object{
			"name": name, "label": label, "type": "query", "datasource": source(), "multi": true, "includeAll": true,
			"allValue": ".*", "current": object{"text": "All", "value": "$__all"}, "refresh": 2, "sort": 1,
			"query": object{"query": expr, "refId": "A"}, "definition": expr,
		}
	}
	selector := `job=~"` + d.job + `"`
	var list []object
	if d.clusters {
		list = append(list, choice("cluster", "Cluster", "label_values(up{"+selector+"}, cluster)"))
		selector += `, cluster=~"$cluster"`
	}
	return append(list, choice("instance", "Instance", "label_values(up{"+selector+"}, instance)"))
}

// selected puts what the reader chose into a query, where it says $of.
func (d dashboard) selected(expr string) string {
	of := `job=~"` + d.job + `", instance=~"$instance"`
	if d.clusters {
		of += `, cluster=~"$cluster"`
	}
	return strings.ReplaceAll(expr, "$of", of)
}

// panels lays the rows out.
func (d dashboard) panels() []object {
	list, id, y := []object{}, 0, 0
	for _, r := range d.rows {
		id++
		list = append(list, object{
			"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []object{},
			"gridPos": object{"x": 0, "y": y, "w": width, "h": 1},
		})
		y++
		x, tall := 0, 0
		for _, p := range r.panels {
			id++
			w, h := width/2, 8
			if p.stat {
				w, h = width/6, 4
			}
			if x+w > width {
				x, y, tall = 0, y+tall, 0
			}
			list = append(list, d.panel(p, id, object{"x": x, "y": y, "w": w, "h": h}))
			x, tall = x+w, max(tall, h)
		}
		y += tall
	}
	return list
}

func (d dashboard) panel(p panel, id int, at object) object {
	targets := []object{}
	for i, q := range p.queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "datasource": source(), "expr": d.selected(q.expr), "legendFormat": q.legend,
			"editorMode": "code", "range": !p.stat, "instant": p.stat,
		})
	}
	steps := []object{{"value": nil, colour: "green"}}
	for _, t := range p.thresholds {
		steps = append(steps, object{"value": t.from, colour: t.colour})
	}
	defaults := object{"unit": p.unit, "thresholds": object{"mode": "absolute", "steps": steps}}
	links := []object{}
	if p.runbook != "" {
		links = append(links, object{"title": "Runbook", "url": runbooks + p.runbook + ".md", "targetBlank": true})
	}
	out := object{
		"id": id, "title": p.title, "description": p.about, "gridPos": at, "datasource": source(), "targets": targets,
		"links": links, "fieldConfig": object{"defaults": defaults, "overrides": []object{}},
	}
	if p.stat {
		out["type"] = "stat"
		out["options"] = object{
			"colorMode": "background", "graphMode": "none", "textMode": "auto",
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		}
		return out
	}
	stacking, fill := "none", 10
	if p.stacked {
		stacking, fill = "normal", 40
	}
	custom := object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never",
		"stacking": object{"mode": stacking, "group": "A"}, "thresholdsStyle": object{"mode": "off"}}
	if len(p.thresholds) > 0 {
		custom["thresholdsStyle"] = object{"mode": "line"}
	}
	defaults["min"], defaults["custom"], defaults[colour] = 0, custom, object{"mode": "palette-classic"}
	out["type"] = "timeseries"
	out["options"] = object{
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}
	return out
}
