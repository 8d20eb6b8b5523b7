package thumbnail

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// allocLimit is the most that ffmpeg may allocate at once.
	allocLimit = 512 << 20
	// killWait is how long the pipes of an ffmpeg that was killed are waited for.
	killWait = 2 * time.Second
	// maxWords is what is kept of what it says about errors.
	maxWords = 2 << 10
)

// arguments has ffmpeg read one MP4 track from its standard input and write each picture as a PPM. Pictures are counted
// instead of timed, so that none is left out or repeated. dar knows of pixels that are not square; a display matrix is
// obeyed by itself.
func arguments(width, height int) []string {
	w, h := strconv.Itoa(width), strconv.Itoa(height)
	scale := "scale=w='max(2,2*round(min(min(" + w + "," + h + "*dar),iw*sar)/2))'" +
		":h='max(2,min(" + h + ",2*round(ow/dar/2)))':flags=area,setsar=1,setpts=N/(10*TB)"
	return []string{
		"-hide_banner", "-loglevel", "error", "-nostdin", "-max_alloc", strconv.Itoa(allocLimit), "-filter_threads", "1",
		"-protocol_whitelist", "pipe", "-threads", "1", "-f", "mp4", "-i", "pipe:0",
		"-map", "0:v:0", "-an", "-sn", "-dn", "-vf", scale, "-r", "10", "-threads", "1",
		"-c:v", "ppm", "-f", "image2pipe", "pipe:1",
	}
}

// run has ffmpeg decode count parts from first on. It gives the pictures that came, of which nobody knows which ones
// they are unless all did.
func (m *Maker) run(ctx context.Context, r *Request, first, count int) (pictures []*Picture, err error) {
	leave, err := m.budget.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(ctx, m.config.Timeout,
		fmt.Errorf("ffmpeg took more than %s: %w", m.config.Timeout, os.ErrDeadlineExceeded))
	defer cancel()
	cmd := exec.CommandContext(ctx, m.config.Path, arguments(r.Width, r.Height)...)
	words := &tail{}
	cmd.Env, cmd.Dir, cmd.Stderr, cmd.WaitDelay = m.config.Env, "/", words, killWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("run ffmpeg: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run ffmpeg: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run ffmpeg: %w", err)
	}
	err = limit(cmd.Process.Pid, m.config.Timeout)
	if errors.Is(err, syscall.ESRCH) {
		err = nil // it has ended: Wait tells
	}
	var fed chan error
	if err == nil {
		fed = make(chan error, 1)
		go func() { fed <- feed(ctx, in, r, first, count) }()
		pictures, err = readPictures(out, r, count)
	}
	if err != nil {
		_ = cmd.Cancel() // it may be in the middle of much more
	}
	waited := cmd.Wait() // closes the pipes, which ends feed
	if fed != nil {
		err = errors.Join(<-fed, err)
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	m.budget.spend(cpu, time.Now())
	err = verdict(ctx, err, waited, words, len(pictures))
	if m.config.OnRun != nil {
		m.config.OnRun(cpu, err)
	}
	return pictures, err
}

// verdict says how a run ended: with a picture at least it went well, whatever ffmpeg thinks.
func verdict(ctx context.Context, err, waited error, words *tail, count int) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case count > 0:
		return nil
	}
	said := words.String()
	if said == "" && waited != nil {
		said = waited.Error()
	}
	return fmt.Errorf("%w: ffmpeg says: %s", ErrNoPicture, said)
}

// feed writes the init section and the samples. That ffmpeg does not read them all is no error: it says itself why. A
// part that is none is left out, like one that can't be decoded.
func feed(ctx context.Context, in io.WriteCloser, r *Request, first, count int) (err error) {
	defer func() { _ = in.Close() }() // ffmpeg may have closed its end
	out := bufio.NewWriterSize(in, 64<<10)
	if _, err := out.Write(r.Init); err != nil {
		return nil
	}
	for i := range count {
		part, err := r.Part(ctx, first+i)
		if err != nil {
			return fmt.Errorf("read part: %w", err)
		}
		s, err := firstSample(part)
		if err != nil {
			continue
		}
		if _, err := out.Write(s.header(i)); err != nil {
			return nil
		}
		if _, err := out.Write(s.data); err != nil {
			return nil
		}
	}
	_ = out.Flush()
	return nil
}

// readPictures reads all that comes, and no more than is right.
func readPictures(out io.Reader, r *Request, count int) ([]*Picture, error) {
	in := bufio.NewReaderSize(out, 64<<10)
	var pictures []*Picture
	for {
		p, err := readPPM(in, r.Width, r.Height)
		switch {
		case errors.Is(err, io.EOF):
			return pictures, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return pictures, nil // cut off by its end, of which Wait tells
		case err != nil:
			return nil, err
		case len(pictures) == count:
			return nil, fmt.Errorf("%w: ffmpeg gives more than %d pictures", errOutput, count)
		}
		pictures = append(pictures, p)
	}
}

// tail keeps the last words of a process, and takes any number.
type tail struct{ buf bytes.Buffer }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p[max(0, len(p)-maxWords):])
	if more := t.buf.Len() - maxWords; more > 0 {
		t.buf.Next(more)
	}
	return len(p), nil
}

// String gives them in one line.
func (t *tail) String() string {
	return strings.ToValidUTF8(strings.Join(strings.Fields(t.buf.String()), " "), "?")
}
