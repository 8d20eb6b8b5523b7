package test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A stamped clip carries in every picture its number: a strip over the foot of the picture, a ninth of its height, of 20
// blocks of equal width: one white and one black for the levels, 12 bits of the number with the highest first, 6 bits
// of its check sum. What a player shows is known by it, and from the publisher's notes when that was sent.

const (
	stampBlocks = 20
	stampBits   = 12
	stampSums   = 6
	stampRate   = 30 // pictures a second
	stampGOP    = 30
)

// stampCrop is ffmpeg's filter that leaves a grey row of stampBlocks pixels of a picture, for readStamp.
const stampCrop = "crop=iw:ih/18:0:ih*8.25/9,scale=20:1:flags=area,format=gray"

// stampSum is the check sum of a number.
func stampSum(number int) int { return (number*37 + 11) & (1<<stampSums - 1) }

// stampRow gives the light of each block.
func stampRow(number int) (row [stampBlocks]byte) {
	bits := number<<stampSums | stampSum(number)
	row[0] = 255
	for i := range stampBits + stampSums {
		if bits>>(stampBits+stampSums-1-i)&1 == 1 {
			row[2+i] = 255
		}
	}
	return row
}

// readStamp gives the number of a row of blocks, -1 if it is none.
func readStamp(row []byte) int {
	if len(row) != stampBlocks || int(row[0])-int(row[1]) < 64 {
		return -1
	}
	level, bits := (int(row[0])+int(row[1]))/2, 0
	for _, light := range row[2:] {
		bits <<= 1
		if int(light) > level {
			bits |= 1
		}
	}
	if number := bits >> stampSums; stampSum(number) == bits&(1<<stampSums-1) {
		return number
	}
	return -1
}

func TestStampIsReadBackOrRefused(t *testing.T) {
	t.Parallel()
	for number := range 1 << stampBits {
		row := stampRow(number)
		if got := readStamp(row[:]); got != number {
			t.Fatalf("%d is read as %d", number, got)
		}
		row[2+number%18] ^= 255
		if got := readStamp(row[:]); got == number {
			t.Fatalf("%d with a wrong bit is read as if it were right", number)
		}
	}
	if got := readStamp(make([]byte, stampBlocks)); got != -1 {
		t.Errorf("black is read as %d", got)
	}
}

// stampedClip encodes H.264 with B-frames and AAC, a key frame each second, every picture numbered from 0.
func stampedClip(tb testing.TB, width, height int, length time.Duration) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), fmt.Sprintf("stamped%d.mp4", height))
	frames, foot := int(length.Seconds()*stampRate), height/9
	var strip bytes.Buffer
	for n := range frames {
		var line []byte
		for _, light := range stampRow(n) {
			line = append(line, bytes.Repeat([]byte{light}, width/stampBlocks)...)
		}
		for range foot {
			strip.Write(line)
		}
	}
	seconds := fmt.Sprint(length.Seconds())
	cmd := exec.Command(needTool(tb, "ffmpeg"), "-v", "error",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=%d:duration=%s", width, height-foot, stampRate, seconds),
		"-f", "rawvideo", "-pix_fmt", "gray", "-s", fmt.Sprintf("%dx%d", width, foot), "-r", fmt.Sprint(stampRate), "-i", "-",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration="+seconds,
		"-filter_complex", "[0:v]format=yuv420p[film];[1:v]format=yuv420p[strip];[film][strip]vstack[v]",
		"-map", "[v]", "-map", "2:a",
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-b_strategy", "0", "-g", fmt.Sprint(stampGOP),
		"-keyint_min", fmt.Sprint(stampGOP), "-sc_threshold", "0", "-b:v", "800k",
		"-c:a", "aac", "-b:a", "96k", "-ac", "2", file)
	cmd.Stdin = &strip
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("encode the stamped clip: %v\n%s", err, out)
	}
	return file
}
