package ingest

import (
	"context"
	"net"
	"net/http"
	"syscall"
)

// acknowledgeKey is where TunnelContext keeps a connection.
type acknowledgeKey struct{}

// TunnelContext is for http.Server.ConnContext of the server that Tunnel answers at.
//
// Without it ffmpeg's tunnel is slow: ffmpeg sends a request's head and its body in two writes, its kernel holds the
// second until the first is acknowledged, and ours delays that by 40 ms, so that no more than 25 requests get through
// in a second. With `-rtmp_flush_interval 1` there is one for every frame.
func TunnelContext(ctx context.Context, conn net.Conn) context.Context {
	tcp, ok := conn.(syscall.Conn) // a TCP connection, or one that the fast lane has handed over
	if !ok {
		return ctx
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, acknowledgeKey{}, raw)
}

// acknowledge sends the acknowledgement that the kernel holds back, if there is one.
func acknowledge(r *http.Request) {
	raw, ok := r.Context().Value(acknowledgeKey{}).(syscall.RawConn)
	if !ok {
		return
	}
	_ = raw.Control(sendAcknowledgement) // the connection's end is found elsewhere
}
