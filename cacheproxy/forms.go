package cacheproxy

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
)

// form is a part of an object's header, and access who may see it.
type (
	form   uint8
	access uint8
)

const (
	formWhole         form = iota // 200, 206, or whatever status the object has
	formNotModified               // 304
	formUnsatisfiable             // 416
	formSeveral                   // 206 of several ranges, whose Content-Type is each answer's own
	formsOfEach
)

const (
	public         access = iota
	signed                // by a token: caches between us and the viewer must not give it on
	signedByOrigin        // by one that is good for a page's origin
	accesses
)

// forms are an object's headers as they are sent, each made when it is first needed. Copies of an object whose header
// is the same share them.
type forms [accesses * access(formsOfEach)]atomic.Pointer[formed]

// formed is a header, as net/http wants it and as the lane sends it: without the status line, Content-Length and what
// else differs from answer to answer.
type formed struct {
	header http.Header
	block  []byte
}

// formed gives one form of the object's header.
func (o *object) formed(f form, a access) *formed {
	if o.forms == nil {
		return o.makeForm(f, a)
	}
	at := &o.forms[uint8(a)*uint8(formsOfEach)+uint8(f)]
	if made := at.Load(); made != nil {
		return made
	}
	made := o.makeForm(f, a)
	at.Store(made) // another's is the same
	return made
}

func (o *object) makeForm(f form, a access) *formed {
	if f == formWhole && a == public {
		return &formed{header: o.header, block: block(o.header)}
	}
	h := make(http.Header, len(o.header)+1)
	for name, values := range o.header {
		h[name] = values
	}
	status := o.status
	switch f {
	case formNotModified:
		status = http.StatusNotModified
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Disposition", "Accept-Ranges"} {
			delete(h, name)
		}
	case formUnsatisfiable:
		status = http.StatusRequestedRangeNotSatisfiable
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified"} {
			delete(h, name)
		}
		for _, name := range freshnessFields {
			delete(h, name)
		}
		h["Cache-Control"] = []string{"no-store"}
	case formSeveral:
		delete(h, "Content-Type")
	}
	a.restrict(h, status)
	return &formed{header: h, block: block(h)}
}

// restrict keeps what is sent to who was let in by a token from whoever else asks. Errors are not kept at all, for the
// next token may be good.
func (a access) restrict(h http.Header, status int) {
	if a == public {
		return
	}
	told := h["Cache-Control"]
	for _, name := range freshnessFields {
		delete(h, name)
	}
	if status >= http.StatusBadRequest {
		h["Cache-Control"] = []string{"no-store"}
	} else {
		h["Cache-Control"] = []string{privately(told)}
	}
	if a == signedByOrigin { // never append to what the cached object has
		h["Vary"] = append(slices.Clone(h["Vary"]), "Origin, Referer")
	}
}

// block writes a header as net/http writes it.
func block(h http.Header) []byte {
	var b bytes.Buffer
	_ = h.Write(&b) // to memory
	return bytes.Clone(b.Bytes())
}

// statusLine is the first line of an answer, as net/http writes it.
func statusLine(status int) string {
	switch status {
	case http.StatusOK:
		return "HTTP/1.1 200 OK\r\n"
	case http.StatusPartialContent:
		return "HTTP/1.1 206 Partial Content\r\n"
	case http.StatusNotModified:
		return "HTTP/1.1 304 Not Modified\r\n"
	}
	text := http.StatusText(status)
	if text == "" {
		text = "status code " + strconv.Itoa(status)
	}
	return "HTTP/1.1 " + strconv.Itoa(status) + " " + text + "\r\n"
}
