package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// obsRow publishes with OBS Studio under a virtual screen: it plays a film, encodes it, streams it and writes the same
// coded packets into a file of its own.
func obsRow() matrixRow {
	const seconds = 12
	return matrixRow{
		publisher: "OBS 29", protocol: "RTMP", video: "H.264 B-frames", audio: "AAC-LC", needs: []string{"obs", "Xvfb"},
		publish: func(t *testing.T, to matrixTarget) *process {
			film := filepath.Join(to.dir, "film.mp4")
			run(t, time.Minute, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=20",
				"-f", "lavfi", "-i", "aevalsrc='sin(2*PI*(300+200*t)*t)':s=48000:d=20", "-c:v", "libx264", "-preset", "ultrafast",
				"-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac", film)
			display := startDisplay(t)
			writeOBS(t, to, film)
			// An interrupt makes OBS stop the stream and leave in order.
			cmd := exec.Command("sh", "-c", fmt.Sprintf("obs --profile oxbow --collection oxbow --startstreaming --startrecording "+
				"--multi --disable-updater --disable-missing-files-check & p=$!; sleep %d; kill -INT $p; wait $p", seconds))
			cmd.Env = append(os.Environ(), "HOME="+to.dir, "XDG_CONFIG_HOME="+filepath.Join(to.dir, ".config"),
				"XDG_RUNTIME_DIR="+to.dir, "DISPLAY="+display, "LIBGL_ALWAYS_SOFTWARE=1")
			return startProcess(t, cmd)
		},
		framesIn: func(t *testing.T, log string) int {
			found := regexp.MustCompile(`Output 'simple_stream': Total frames output: (\d+)`).FindStringSubmatch(log)
			if found == nil {
				t.Fatal("OBS did not say how many frames it sent")
			}
			n, _ := strconv.Atoi(found[1])
			return n
		},
		ownClip: func(t *testing.T, to matrixTarget) string {
			files, err := filepath.Glob(filepath.Join(to.dir, "*.mkv"))
			if err != nil || len(files) != 1 {
				t.Fatalf("OBS recorded %q: %v", files, err)
			}
			return files[0]
		},
	}
}

// startDisplay starts a virtual screen and gives its name.
func startDisplay(t *testing.T) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{write}
	startProcess(t, cmd)
	_ = write.Close()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb gave no display: %v", err)
	}
	return ":" + strings.TrimSpace(line)
}

// writeOBS writes OBS's profile and scene.
func writeOBS(t *testing.T, to matrixTarget, film string) {
	t.Helper()
	for name, text := range map[string]string{
		"global.ini": "[General]\nFirstRun=true\nLastVersion=486539266\nEnableAutoUpdates=false\nConfirmOnExit=false\n" +
			"[BasicWindow]\nWarnBeforeStartingStream=false\nWarnBeforeStoppingStream=false\nSysTrayEnabled=false\n" +
			"[Basic]\nProfile=oxbow\nProfileDir=oxbow\nSceneCollection=oxbow\nSceneCollectionFile=oxbow\n",
		"basic/profiles/oxbow/basic.ini": "[General]\nName=oxbow\n" +
			"[Video]\nBaseCX=640\nBaseCY=360\nOutputCX=640\nOutputCY=360\nFPSType=0\nFPSCommon=30\n" +
			"[Audio]\nSampleRate=48000\nChannelSetup=Stereo\n[Output]\nMode=Simple\n" +
			"[SimpleOutput]\nVBitrate=800\nABitrate=128\nStreamEncoder=x264\nUseAdvanced=true\nPreset=veryfast\n" +
			"x264Settings=keyint=60 bframes=2\nRecQuality=Stream\nRecFormat=mkv\nFilePath=" + to.dir + "\n",
		"basic/profiles/oxbow/service.json": fmt.Sprintf(
			`{"settings":{"bwtest":false,"key":%q,"server":%q,"use_auth":false},"type":"rtmp_custom"}`,
			to.key, "rtmp://"+to.server.rtmp+"/live"),
		"basic/scenes/oxbow.json": fmt.Sprintf(
			`{"current_scene":"Scene","current_program_scene":"Scene","name":"oxbow","scene_order":[{"name":"Scene"}],"sources":[`+
				`{"id":"ffmpeg_source","name":"Film","mixers":255,"volume":1.0,`+
				`"settings":{"is_local_file":true,"local_file":%q,"looping":true,"hw_decode":false}},`+
				`{"id":"scene","name":"Scene","settings":{"items":[{"name":"Film","visible":true,"id":1}]}}]}`, film),
	} {
		path := filepath.Join(to.dir, ".config", "obs-studio", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
