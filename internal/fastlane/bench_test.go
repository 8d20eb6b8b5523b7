package fastlane

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// sized answers with so many bytes.
type sized struct {
	block []byte
	body  slab.Piece
}

func (s *sized) ServeLane(x *Exchange) error {
	err := x.Begin(ok, s.block, nil, int64(len(s.body.Data)))
	if err == nil {
		err = x.Write(s.body)
	}
	if err == nil {
		err = x.End()
	}
	return err
}

// BenchmarkLoopback is client and server together, beside net/http.
func BenchmarkLoopback(b *testing.B) {
	for _, size := range []int{1 << 10, 60 << 10, 1 << 20} {
		buffer := slab.New().Get(size)
		body := slab.Piece{Buffer: buffer, Data: buffer.Bytes()[:size]}
		plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{"video/mp4"}
			w.Header()["Content-Length"] = []string{fmt.Sprint(size)}
			_, _ = w.Write(body.Data)
		})
		quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		b.Run(fmt.Sprintf("%dKB/lane", size>>10), func(b *testing.B) {
			block := fmt.Appendf(nil, "Content-Type: video/mp4\r\nContent-Length: %d\r\n", size)
			loopback(b, New(Config{Handler: &sized{block, body}, HTTP: &http.Server{}}), size)
		})
		b.Run(fmt.Sprintf("%dKB/net-http", size>>10), func(b *testing.B) {
			loopback(b, &http.Server{Handler: plain, ErrorLog: quiet}, size)
		})
	}
}

func loopback(b *testing.B, s interface {
	Serve(l net.Listener) error
	Close() error
}, size int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	defer func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	}()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		in := bufio.NewReaderSize(conn, 64<<10)
		request := []byte(plain)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			for line := []byte(nil); len(line) != 2; {
				if line, err = in.ReadSlice('\n'); err != nil {
					b.Error(err)
					return
				}
			}
			if _, err := in.Discard(size); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
