package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// shownFrame is a picture that a player showed.
type shownFrame struct {
	at     time.Time
	media  float64 // seconds of the player's timeline, NaN where it does not tell
	number int     // -1: unreadable
}

// playerFault is an error that a player told.
type playerFault struct {
	text  string
	fatal bool
}

// playerNews is what hls.js told of beside pictures and errors, as browser/page.js writes it.
type playerNews struct {
	Tell string // manifest, level, size, cue, ranges, id3

	Levels               []playerLevel // manifest
	Level                int           // level: the one that is played now
	Width, Height        int           // size: of the picture
	Kind, Language, Text string        // cue; Text of an id3, too
	Start, End           float64       // cue, id3: seconds of the player's timeline
	IDs                  []string      // ranges: of a playlist
}

// playerLevel is a variant as hls.js reads it.
type playerLevel struct {
	Width, Height int
	Codecs        string
	Range         string
}

// viewing is one player at work and what it has shown so far.
type viewing struct {
	tb     testing.TB
	name   string
	cancel func()
	input  io.Writer // of the browser's driver
	done   chan struct{}
	log    *output

	mu      sync.Mutex
	loaded  time.Time
	frames  []shownFrame
	faults  []playerFault
	told    []playerNews
	ended   bool // the player says so, or left by itself without an error
	dropped int
	err     error
}

// watchInBrowser starts a player of browser/page.js.
func watchInBrowser(tb testing.TB, player, url, config string, more ...string) *viewing {
	tb.Helper()
	node, chromium := needTool(tb, "node"), needTool(tb, "chromium")
	if config == "" {
		config = "{}"
	}
	args := append([]string{"watch.mjs", player, url, "--config", config, "--chromium", chromium}, more...)
	if os.Getenv("OXBOW_PLAYER_LOG") != "" { // for who looks into a player's fault
		args = append(args, "--log")
	}
	cmd := exec.Command(node, args...)
	cmd.Dir = "browser"
	input, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	v := &viewing{tb: tb, name: player, input: input, log: &output{}}
	v.start(cmd, v.readDriver)
	v.cancel = func() { // the driver closes its browser
		_ = input.Close()
		select {
		case <-v.done:
		case <-time.After(patient(10 * time.Second)):
			_ = cmd.Process.Kill()
		}
	}
	return v
}

// watchTool starts a player that writes its pictures to file descriptor 3, of which read makes rows for readStamp.
func watchTool(tb testing.TB, name string, read rowReader, tool string, args ...string) *viewing {
	tb.Helper()
	pictures, far, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(needTool(tb, tool), args...)
	cmd.ExtraFiles = []*os.File{far}
	v := &viewing{tb: tb, name: name, loaded: time.Now(), log: &output{}}
	cmd.Stdout = v.log
	v.start(cmd, func(io.Reader) {
		_ = far.Close() // the tool has its own
		defer pictures.Close()
		for in := bufio.NewReader(pictures); ; {
			row, err := read(in)
			if err != nil {
				return
			}
			v.show(shownFrame{at: time.Now(), media: math.NaN(), number: readStamp(row)})
		}
	})
	return v
}

// rowReader gives the strip of the next picture as a row for readStamp.
type rowReader func(in *bufio.Reader) ([]byte, error)

// greyRows reads grey pictures of a size.
func greyRows(width, height int) rowReader {
	picture, row := make([]byte, width*height), make([]byte, stampBlocks)
	return func(in *bufio.Reader) ([]byte, error) {
		_, err := io.ReadFull(in, picture)
		line := picture[width*(height*17/18):]
		for i := range row {
			row[i] = line[(2*i+1)*width/(2*stampBlocks)]
		}
		return row, err
	}
}

// terminalRows reads what mpv draws on a terminal in true colour, one row of one cell for each block.
func terminalRows(in *bufio.Reader) ([]byte, error) {
	row := make([]byte, 0, stampBlocks)
	for {
		text, err := in.ReadString('m')
		if err != nil {
			return nil, err
		}
		var red, green, blue int
		at := strings.LastIndex(text, "\x1b[48;2;")
		if at < 0 {
			continue
		}
		if strings.Contains(text[:at], "\x1b[1;1H") || strings.Contains(text[:at], "\x1b[H") {
			row = row[:0]
		}
		if n, _ := fmt.Sscanf(text[at:], "\x1b[48;2;%d;%d;%dm", &red, &green, &blue); n == 3 {
			row = append(row, byte(green))
		}
		if len(row) == stampBlocks {
			return row, nil
		}
	}
}

// start runs the command; read is given its standard output.
func (v *viewing) start(cmd *exec.Cmd, read func(io.Reader)) {
	v.tb.Helper()
	v.done = make(chan struct{})
	cmd.Stderr = v.log
	var out io.Reader
	if cmd.Stdout == nil {
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			v.tb.Fatal(err)
		}
		out = pipe
	}
	if err := cmd.Start(); err != nil {
		v.tb.Fatal(err)
	}
	v.cancel = func() { _ = cmd.Process.Kill() }
	go func() {
		defer close(v.done)
		read(out)
		err := cmd.Wait()
		v.mu.Lock()
		defer v.mu.Unlock()
		v.err = err
		v.ended = v.ended || err == nil && v.input == nil
	}()
	v.tb.Cleanup(func() {
		v.stop()
		if v.tb.Failed() {
			v.tb.Logf("%s's output:\n%s", v.name, v.log.tail(30))
		}
	})
}

// stop ends the player.
func (v *viewing) stop() {
	v.cancel()
	<-v.done
}

func (v *viewing) show(f shownFrame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frames = append(v.frames, f)
}

// readDriver reads what browser/watch.mjs tells.
func (v *viewing) readDriver(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var line struct {
			Load, Ended *float64
			Frames      [][3]float64
			Error       string
			Fatal       bool
			At          float64
			Dropped     int
			Log         string
			playerNews
		}
		if err := json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &line); err != nil {
			fmt.Fprintf(v.log, "%s\n", lines.Bytes())
			continue
		}
		v.mu.Lock()
		switch {
		case line.Load != nil:
			v.loaded = wallClock(*line.Load)
		case line.Ended != nil:
			v.ended = true
		case line.Error != "":
			v.faults = append(v.faults, playerFault{line.Error, line.Fatal})
			fmt.Fprintf(v.log, "%s %s\n", wallClock(line.At).Format("15:04:05.000"), line.Error)
		case line.Log != "":
			fmt.Fprintf(v.log, "%s %s\n", wallClock(line.At).Format("15:04:05.000"), line.Log)
		case line.Tell != "":
			v.told = append(v.told, line.playerNews)
		case line.Dropped > 0:
			v.dropped = line.Dropped
		}
		for _, f := range line.Frames {
			v.frames = append(v.frames, shownFrame{at: wallClock(f[0]), media: f[1], number: int(f[2])})
		}
		v.mu.Unlock()
	}
}

func wallClock(ms float64) time.Time { return time.UnixMicro(int64(ms * 1000)) }

// command asks the browser's player for something, see browser/watch.mjs.
func (v *viewing) command(format string, args ...any) {
	v.tb.Helper()
	if _, err := fmt.Fprintf(v.input, format+"\n", args...); err != nil {
		v.tb.Errorf("command: %v", err)
	}
}

// news gives what the player told of a kind that the condition holds for, in order.
func (v *viewing) news(tell string, condition func(playerNews) bool) (found []playerNews) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range v.told {
		if n.Tell == tell && condition(n) {
			found = append(found, n)
		}
	}
	return found
}

// seek asks the browser's player for a position from the start.
func (v *viewing) seek(to time.Duration) {
	v.tb.Helper()
	v.command(`{"seek": %.3f}`, to.Seconds())
}

// newest gives the number of the picture on show, -1 before the first.
func (v *viewing) newest() (number, count int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range slices.Backward(v.frames) {
		if f.number >= 0 {
			return f.number, len(v.frames)
		}
	}
	return -1, len(v.frames)
}

// over says whether nothing more can come.
func (v *viewing) over() bool {
	v.mu.Lock()
	ended := v.ended
	v.mu.Unlock()
	select {
	case <-v.done:
		return true
	default:
		return ended
	}
}

// shown gives a copy of all pictures so far.
func (v *viewing) shown() []shownFrame {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.frames)
}

// stallWorth is how long a picture may stand before that counts as a stall.
const stallWorth = 250 * time.Millisecond

// figures is what a viewing came to.
type figures struct {
	first      time.Duration // from the URL to the first picture, -1: none came
	frames     int
	stalls     int
	stalled    time.Duration // of all stalls, the whole time that the picture stood
	skips      int           // steps forward past pictures that were sent
	skipped    int           // such pictures
	back       int           // steps back
	backs      string        // the last of them
	unreadable int
	latency    [2]time.Duration // behind the publisher: median, 95th in a hundred
	late       time.Duration    // the last second's median
	last       int              // the last picture's number
	faults     []playerFault
	fatal      int
	ended      bool
	dropped    int
}

// measure sums up what a player showed; sentAt says when the publisher sent a picture.
func (v *viewing) measure(sentAt func(number int) (time.Time, bool)) figures {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := figures{first: -1, last: -1, faults: v.faults, ended: v.ended, dropped: v.dropped}
	for _, f := range v.faults {
		if f.fatal {
			m.fatal++
		}
	}
	var behind []time.Duration
	var before shownFrame
	for _, f := range v.frames {
		if f.number < 0 {
			m.unreadable++
			continue
		}
		if m.frames == 0 {
			m.first, before = f.at.Sub(v.loaded), f
		}
		m.frames++
		if sent, ok := sentAt(f.number); ok {
			behind = append(behind, f.at.Sub(sent))
		}
		if f.number == before.number {
			continue
		}
		if stood := f.at.Sub(before.at); stood > stallWorth {
			m.stalls++
			m.stalled += stood
		}
		m.step(before.number, f.number, sentAt)
		before = f
	}
	m.last = before.number
	if m.frames == 0 {
		m.last = -1
	}
	if len(behind) > 0 {
		late := slices.Clone(behind[max(0, len(behind)-stampRate):])
		slices.Sort(late)
		m.late = late[len(late)/2]
		slices.Sort(behind)
		m.latency = [2]time.Duration{behind[len(behind)/2], behind[len(behind)*95/100]}
	}
	return m
}

// mayDrop is how many pictures in a row a loaded machine may leave out of what it shows.
const mayDrop = 6

// step counts a step of the number that is none to the next picture.
func (m *figures) step(from, to int, sentAt func(number int) (time.Time, bool)) {
	if to < from {
		m.back++
		m.backs = fmt.Sprintf("%d to %d", from, to)
		return
	}
	missing := 0
	for number := from + 1; number < to; number++ {
		if _, ok := sentAt(number); ok {
			missing++
		}
	}
	if missing > mayDrop {
		m.skips++
		m.skipped += missing
	}
}

// faultText joins the faults, each kind once.
func (m *figures) faultText() string {
	var kinds []string
	counts := map[string]int{}
	for _, f := range m.faults {
		text := f.text
		if f.fatal {
			text = "fatal: " + text
		}
		if len(text) > 90 {
			text = text[:90] + "..."
		}
		if counts[text]++; counts[text] == 1 {
			kinds = append(kinds, text)
		}
	}
	for i, k := range kinds {
		if counts[k] > 1 {
			kinds[i] = fmt.Sprintf("%s (%d times)", k, counts[k])
		}
	}
	return strings.Join(kinds, "; ")
}
