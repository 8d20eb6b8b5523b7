package bitstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// encoded is what ffmpeg makes of a tone or test picture in the form of an extension.
func encoded(tb testing.TB, ext string, args ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(encodedFile(tb, ext, args...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func encodedFile(tb testing.TB, ext string, args ...string) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "out."+ext)
	run(tb, "ffmpeg", append(append([]string{"-hide_banner", "-loglevel", "error", "-nostdin"}, args...), "-y", out)...)
	return out
}

func run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	out, err := exec.Command(name, args...).Output()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("OXBOW_TEST_REQUIRE") != "all" {
		tb.Skipf("%s is not installed", name)
	}
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			tb.Fatalf("%s %v: %s", name, args, exit.Stderr)
		}
		tb.Fatal(err)
	}
	return string(out)
}

func testdata(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// keyFrames is what ffprobe says of a file's packets, in their order.
func keyFrames(tb testing.TB, path string) []bool {
	tb.Helper()
	out := run(tb, "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=flags", "-of", "csv=p=0", path)
	var keys []bool
	for line := range strings.Lines(out) {
		keys = append(keys, strings.HasPrefix(line, "K"))
	}
	return keys
}

// box gives the body of the first MP4 box of a name.
func box(tb testing.TB, file []byte, name string) []byte {
	tb.Helper()
	at := bytes.Index(file, []byte(name))
	if at < 4 {
		tb.Fatalf("no %s", name)
	}
	size := int(binary.BigEndian.Uint32(file[at-4:]))
	return file[at+4 : at-4+size]
}

// ivfFrames takes an IVF file apart.
func ivfFrames(file []byte) (frames [][]byte) {
	const fileHeader, frameHeader = 32, 12
	for b := file[fileHeader:]; len(b) >= frameHeader; {
		size := int(binary.LittleEndian.Uint32(b))
		frames = append(frames, b[frameHeader:frameHeader+size])
		b = b[frameHeader+size:]
	}
	return frames
}

// accessUnits takes a byte stream of AVC or HEVC, of one slice a picture, apart.
func accessUnits(tb testing.TB, codec media.Codec, file []byte) (units [][]byte) {
	tb.Helper()
	b, ok := ByteStream(nil, file, 1<<24)
	if !ok {
		tb.Fatal("byte stream is too long")
	}
	var unit []byte
	for len(b) > 0 {
		next := 4 + int(binary.BigEndian.Uint32(b))
		unit = append(unit, b[:next]...)
		slice := b[4]&0x1f >= avcSlice && b[4]&0x1f <= avcIDR
		if codec == media.HEVC {
			slice = hevcType(b[4:]) <= hevcLastSlice
		}
		if slice {
			units, unit = append(units, unit), nil
		}
		b = b[next:]
	}
	return units
}

// videoStreams are the files in testdata, as a container would give them.
func videoStreams(tb testing.TB) []videoStream {
	return []videoStream{
		{"avc", func() Video { return new(AVC) }, accessUnits(tb, media.H264, testdata(tb, "avc.h264"))},
		{"hevc", func() Video { return new(HEVC) }, accessUnits(tb, media.HEVC, testdata(tb, "hevc.hevc"))},
		{"av1", func() Video { return new(AV1) }, ivfFrames(testdata(tb, "av1.ivf"))},
		{"vp9", func() Video { return new(VP9) }, ivfFrames(testdata(tb, "vp9.ivf"))},
	}
}

type videoStream struct {
	name  string
	make  func() Video
	units [][]byte
}
