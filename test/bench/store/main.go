// Command store compares what putting a large file into an S3 server costs: Oxbow's own client beside s5cmd and rclone,
// one after the other against the same versitygw on loopback, in turns. It prints a table of the median round; it ends
// by itself, and -h shows its bounds.
//
//	go run ./test/bench/store
//	go run ./test/bench/store -size 1024 -rounds 5 -dir /var/tmp
//
// versitygw and s5cmd are built from the module in test/tools; rclone is Debian's, and left out if it is not there.
// Absolute figures move with the machine: compare those of one run.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
)

const (
	accessKey = "oxbow"
	secretKey = "oxbow-secret"
	bucket    = "vod"
	mib       = 1 << 20
)

// settings are the flags.
type settings struct {
	dir, tools, put, endpoint string
	size, rounds              int64
	checksums                 string
}

func main() {
	var s settings
	flag.StringVar(&s.dir, "dir", os.TempDir(), "where the file and the server's objects go while it runs")
	flag.StringVar(&s.tools, "tools", "test/tools", "the module of the tools")
	flag.Int64Var(&s.size, "size", 512, "MiB of the file; 32 to 4096")
	flag.Int64Var(&s.rounds, "rounds", 5, "how often each is measured; 1 to 20")
	flag.StringVar(&s.checksums, "checksums", objstore.ChecksumsAuto, "Oxbow's checksums: auto, sha256 or off")
	flag.StringVar(&s.put, "put", "", "used by the command itself: put this file and end")
	flag.StringVar(&s.endpoint, "endpoint", "", "used by the command itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := s.compare
	if s.put != "" {
		run = s.putFile
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// putFile is the child: Oxbow's client alone, so that its memory is its own.
func (s settings) putFile(ctx context.Context) (err error) {
	store, err := objstore.OpenS3(ctx, objstore.S3Config{
		Endpoint: s.endpoint, Bucket: bucket, AccessKey: accessKey, SecretKey: secretKey, Checksums: s.checksums,
	})
	if err != nil {
		return err
	}
	defer store.Close()
	file, err := os.Open(s.put)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	_, err = store.Put(ctx, filepath.Base(s.put), file, info.Size(), media.PutOptions{})
	return err
}

// client is one of those compared.
type client struct {
	name string
	args []string // the file's path is put behind them
	to   []string // and these behind that
	idle int64    // KiB: its peak for a file of a byte
	runs []figures
}

type figures struct {
	took, cpu time.Duration
	peak      int64 // KiB
}

func (s settings) compare(ctx context.Context) (err error) {
	if s.size < 32 || s.size > 4096 || s.rounds < 1 || s.rounds > 20 {
		return errors.New("-size is 32 to 4096, -rounds 1 to 20")
	}
	work, err := os.MkdirTemp(s.dir, "oxbow-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	large, small := filepath.Join(work, "large"), filepath.Join(work, "small")
	if err := errors.Join(writeFile(large, s.size*mib), writeFile(small, 1)); err != nil {
		return err
	}
	endpoint, stop, err := s.startGateway(ctx, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	clients, err := s.clients(ctx, work, endpoint)
	if err != nil {
		return err
	}
	for _, c := range clients {
		if _, err := c.measure(ctx, large); err != nil { // warm
			return err
		}
		idle, err := c.measure(ctx, small)
		if err != nil {
			return err
		}
		c.idle = idle.peak
	}
	for round := range s.rounds {
		for i := range clients {
			c := clients[(i+int(round))%len(clients)]
			f, err := c.measure(ctx, large)
			if err != nil {
				return err
			}
			c.runs = append(c.runs, f)
			if err := os.Remove(filepath.Join(work, "data", bucket, "large")); err != nil {
				return err
			}
		}
	}
	return s.print(clients)
}

func (s settings) print(clients []*client) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d MiB, median of %d\tMiB/s\tratio to Oxbow\tCPU\tpeak MiB\tabove idle\t\n", s.size, s.rounds)
	var ours float64
	for _, c := range clients {
		slices.SortFunc(c.runs, func(a, b figures) int { return int(a.took - b.took) })
		f := c.runs[len(c.runs)/2]
		for _, r := range c.runs {
			f.peak = max(f.peak, r.peak)
		}
		speed := float64(s.size) / f.took.Seconds()
		if ours == 0 {
			ours = speed
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%v\t%.1f\t%.1f\t\n", c.name, speed, speed/ours, f.cpu.Round(10*time.Millisecond),
			float64(f.peak)/1024, float64(f.peak-c.idle)/1024)
	}
	return w.Flush()
}

func (s settings) clients(ctx context.Context, work, endpoint string) ([]*client, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	list := []*client{{name: "oxbow", args: []string{self, "-endpoint", endpoint, "-checksums", s.checksums, "-put"}}}
	s5cmd, err := s.build(ctx, work, "github.com/peak/s5cmd/v2")
	if err != nil {
		return nil, err
	}
	list = append(list, &client{
		name: "s5cmd", args: []string{s5cmd, "--endpoint-url", endpoint, "cp"}, to: []string{"s3://" + bucket + "/"},
	})
	rclone, _ := exec.LookPath("rclone")
	if rclone == "" {
		fmt.Fprintln(os.Stderr, "rclone is left out: not installed (Debian: apt-get install rclone)")
		return list, nil
	}
	remote := ":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='" + endpoint + "':" + bucket
	return append(list, &client{
		name: "rclone", args: []string{rclone, "--config", os.DevNull, "copy", "--s3-no-check-bucket", "--ignore-times",
			"--s3-chunk-size", "16M", "--s3-upload-concurrency", "4"},
		to: []string{remote},
	}), nil
}

// measure puts a file by a process.
func (c *client) measure(ctx context.Context, file string) (figures, error) {
	args := append(append(slices.Clone(c.args), file), c.to...)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	ours := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	cmd.Env = append(ours, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey,
		"AWS_REGION=us-east-1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return figures{}, fmt.Errorf("%s: %w: %s", c.name, err, bytes.TrimSpace(out.Bytes()))
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return figures{}, errors.New("no usage of a process on this system")
	}
	return figures{
		took: time.Since(begun), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak: usage.Maxrss,
	}, nil
}

func writeFile(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{1}), size)
	return errors.Join(err, f.Close())
}

func (s settings) build(ctx context.Context, work, pkg string) (string, error) {
	binary := filepath.Join(work, "bin", filepath.Base(filepath.Dir(pkg))+"-"+filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, pkg)
	cmd.Dir = s.tools
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, bytes.TrimSpace(out))
	}
	return binary, nil
}

func (s settings) startGateway(ctx context.Context, work string) (endpoint string, stop func() error, err error) {
	binary, err := s.build(ctx, work, "github.com/versity/versitygw/cmd/versitygw")
	if err != nil {
		return "", nil, err
	}
	data := filepath.Join(work, "data")
	if err := os.MkdirAll(filepath.Join(data, bucket), 0o755); err != nil {
		return "", nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "--access", accessKey, "--secret", secretKey, "--port", addr, "--keep-alive",
		"--quiet", "--health", "/_health", "posix", data)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait() // "signal: killed"
		return err
	}
	for range 100 {
		time.Sleep(50 * time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/_health", nil)
		if err != nil {
			return "", nil, errors.Join(err, stop())
		}
		if resp, err := http.DefaultClient.Do(req); err == nil && resp.Body.Close() == nil {
			return "http://" + addr, stop, nil
		}
	}
	return "", nil, errors.Join(errors.New("versitygw does not answer"), stop())
}
