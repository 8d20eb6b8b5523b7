package api

import (
	"io"

	"github.com/danielgtaylor/huma/v2"
)

// failing is a reader of an error, or of nothing.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

type humaContext = huma.Context // embedded, it leaves the method Context be

// rerun is a request whose body was read before. With kept set the answer goes there.
type rerun struct {
	humaContext
	body io.Reader
	kept *reply
}

// Unwrap is for humachi.
func (r *rerun) Unwrap() huma.Context { return r.humaContext }

// BodyReader implements huma.Context, as all below.
func (r *rerun) BodyReader() io.Reader { return r.body }

func (r *rerun) SetStatus(code int) {
	if r.kept == nil {
		r.humaContext.SetStatus(code)
		return
	}
	r.kept.Status = code
}

func (r *rerun) Status() int {
	if r.kept == nil {
		return r.humaContext.Status()
	}
	return r.kept.Status
}

func (r *rerun) SetHeader(name, value string) {
	if r.kept == nil {
		r.humaContext.SetHeader(name, value)
		return
	}
	r.kept.Header.Set(name, value)
}

func (r *rerun) AppendHeader(name, value string) {
	if r.kept == nil {
		r.humaContext.AppendHeader(name, value)
		return
	}
	r.kept.Header.Add(name, value)
}

func (r *rerun) BodyWriter() io.Writer {
	if r.kept == nil {
		return r.humaContext.BodyWriter()
	}
	return r.kept
}
