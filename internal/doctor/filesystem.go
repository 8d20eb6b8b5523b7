package doctor

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a line of /proc/self/mounts.
type mount struct {
	dir     string
	kind    string
	options []string
}

// mountOf finds the mount that a path lies on: the last and longest that it begins with.
func mountOf(path, table string) (found mount) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	scanner := bufio.NewScanner(strings.NewReader(table))
	for scanner.Scan() {
		f := strings.Fields(scanner.Text())
		if len(f) < 4 {
			continue
		}
		dir := unescape.Replace(f[1])
		inside := path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
		if inside && len(dir) >= len(found.dir) {
			found = mount{dir: dir, kind: f[2], options: strings.Split(f[3], ",")}
		}
	}
	return found
}

// checkFileSystem tells what the directory lies on, and how much room there is.
func checkFileSystem(r *Report, dir string) {
	checkRoom(r, dir)
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	table, tableErr := os.ReadFile("/proc/self/mounts")
	if err != nil || tableErr != nil {
		r.add(Warn, "directory mount", "run doctor on Linux with /proc", "the mounts can't be read")
		return
	}
	m := mountOf(path, string(table))
	level, do, text := m.judge()
	r.add(level, "directory mount", do, "%s on %s%s", m.kind, m.dir, text)
}

// judge says what a file system means for recordings.
func (m mount) judge() (level Level, do, text string) {
	has := func(option string) bool { return slices.Contains(m.options, option) }
	switch {
	case has("ro"):
		return Fail, "mount it for writing", ", read-only"
	case m.kind == "nfs" || m.kind == "nfs4":
		return m.judgeNFS(has)
	case m.kind == "tmpfs" || m.kind == "ramfs":
		return Warn, "use a disk", ": recordings are lost with the power"
	case m.kind == "overlay" || m.kind == "aufs":
		return Warn, "mount a volume there", ": a container's layer: recordings are lost with the container"
	case strings.HasPrefix(m.kind, "fuse"):
		return Warn, "make sure that it is POSIX in earnest; see the checks below", ": many of its kind cache, or do not lock"
	case m.kind == "cifs" || m.kind == "smb3":
		return Fail, doVolume, ": renames over open files and locks are not those of POSIX"
	}
	return OK, "", ""
}

func (m mount) judgeNFS(has func(string) bool) (level Level, do, text string) {
	switch {
	case has("nolock") || has("local_lock=all") || has("local_lock=flock"):
		return Fail, "mount it without nolock and local_lock", ": locks are of this machine alone"
	case has("soft") || has("softerr"):
		return Warn, "mount it hard: a soft mount turns a pause of the server into lost segments", ", soft"
	case !has("lookupcache=positive") && !has("lookupcache=pos") && !has("lookupcache=none"):
		return Warn, "mount it with lookupcache=positive, so that other nodes see new takes at once", ""
	}
	return OK, "", ", hard, lookupcache as it should be"
}

func checkRoom(r *Report, dir string) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		r.add(Fail, "directory room", "look at the volume", "%s", reason(err))
		return
	}
	level, do, format := roomOf(int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize, int64(st.Ffree), int64(st.Files))
	r.add(level, "directory room", do, "%.1f of %.1f GB free, %s", float64(int64(st.Bavail)*st.Bsize)/1e9,
		float64(int64(st.Blocks)*st.Bsize)/1e9, format)
}

// roomOf judges what is left; no inodes at all means that the file system does not count them.
func roomOf(free, total, inodes, allInodes int64) (level Level, do, text string) {
	text = "inodes enough"
	if allInodes > 0 && inodes < warnInodes {
		return Warn, "remove small files, or make the file system anew with more inodes", "few inodes"
	}
	switch {
	case free < failRoom:
		return Fail, "make room: a node refuses publishers, and then records gaps", text
	case free < warnRoom, free < total/20:
		return Warn, "make room, or shorten --archive-grace", text
	}
	return OK, "", text
}
