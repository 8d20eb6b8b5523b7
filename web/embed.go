// Package web holds the web page: its sources under src, and what `npm run build` makes of them under dist, which is
// embedded. Without Node dist is empty; then the API serves a page of its own.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Dist gives the built page: index.html and what it names under assets/. Before the build there is no index.html.
func Dist() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("BUG: embedded dist: " + err.Error())
	}
	return files
}
