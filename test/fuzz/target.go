package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// target is one fuzz function.
type target struct {
	folder   string // its package's, from the module's root, with slashes
	function string
	// sum tells the package's sources and the target's file from what they were.
	sum string
}

// name is the target's in tables and patterns.
func (t target) name() string { return t.folder + "." + t.function }

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// findTargets reads the module's sources, in order of their packages. What is below a folder with a module of its own,
// testdata or node_modules is none of it.
func findTargets(root string) ([]target, error) {
	var found []target
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			hidden := name != "." && name != ".." && strings.HasPrefix(name, ".")
			if path != root && (err == nil || hidden || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, match := range declared.FindAllSubmatch(text, -1) {
			sum, err := sumOf(filepath.Dir(path), text)
			if err != nil {
				return err
			}
			found = append(found, target{folder: filepath.ToSlash(folder), function: string(match[1]), sum: sum})
		}
		return nil
	})
	slices.SortFunc(found, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.folder, b.folder), cmp.Compare(a.function, b.function))
	})
	return found, err
}

// sumOf sums up a package's sources and one file of its tests.
func sumOf(folder string, test []byte) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		sum.Write(text)
		sum.Write([]byte{0})
	}
	sum.Write(test)
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
