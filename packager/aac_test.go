package packager

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// TestSilenceDecodesToSilence decodes our silence of every channel configuration, with a decoder that is told to fail
// on any error, and expects zeros.
func TestSilenceDecodesToSilence(t *testing.T) {
	for config := uint8(1); config <= 7; config++ {
		for _, rate := range []int{22050, 44100, 48000} {
			t.Run(fmt.Sprintf("%d channels at %d", config, rate), func(t *testing.T) {
				count := int(config)
				if config == 7 {
					count = 8
				}
				var packets mpeg4audio.ADTSPackets
				for range 20 {
					packets = append(packets, &mpeg4audio.ADTSPacket{
						Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: config,
						AU: silentAAC(config),
					})
				}
				b, err := packets.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "silence.aac")
				if err := os.WriteFile(file, b, 0o600); err != nil {
					t.Fatal(err)
				}
				pcm := mustRun(t, "ffmpeg", "-v", "error", "-xerror", "-err_detect", "explode", "-i", file, "-f", "s16le", "-")
				if len(pcm) != 20*1024*2*count {
					t.Errorf("decoded to %d bytes", len(pcm))
				}
				if strings.Trim(pcm, "\x00") != "" {
					t.Error("not silent")
				}
			})
		}
	}
}

func TestNoSilenceForUnknownLayouts(t *testing.T) {
	for _, config := range []uint8{0, 8, 15} {
		if silentAAC(config) != nil {
			t.Errorf("silence for configuration %d", config)
		}
	}
}
