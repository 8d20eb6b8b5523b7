package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
)

// encoder publishes a stamped film in real time to one of several nodes. When its connection ends it waits for its
// delay and goes to the next node, where it begins at the next key frame of the film, as an encoder that starts anew:
// no number is sent twice. It notes which pictures it sent on which connection, and when.
type encoder struct {
	tb      testing.TB
	film    *stampedFilm
	targets []string // rtmp URLs
	delay   time.Duration

	mu          sync.Mutex
	connections []*connection
	attempts    int
	refusals    []string // what servers said, in order
	next        int      // index of the sample that is to be sent next
	abandon     context.CancelFunc
	held        []net.Conn // left open without a reader or a word
	target      int        // index of the node that is tried
	finishing   bool

	cancel context.CancelFunc
	done   chan struct{}
	over   bool // the film
}

// connection is one on which pictures were sent.
type connection struct {
	target  int
	dialled time.Time // when it was begun
	opened  time.Time // when the server said that it publishes
	first   time.Time // when the first picture was sent
	ended   time.Time
	err     error
	sent    []sentPicture // in the order of decoding
	units   int           // of sound
}

type sentPicture struct {
	number int
	at     time.Time
}

// filmOfFaults is the film that all fault tests send; it is made once.
var filmOfFaults struct {
	sync.Once
	film *stampedFilm
}

const faultFilmLength = 120 * time.Second

func faultFilm(tb testing.TB) *stampedFilm {
	tb.Helper()
	filmOfFaults.Do(func() { filmOfFaults.film = readStamped(tb, stampedClip(tb, 320, 180, faultFilmLength)) })
	if filmOfFaults.film == nil {
		tb.Fatal("the film could not be made")
	}
	return filmOfFaults.film
}

// startEncoder begins to publish to the first of the nodes.
func startEncoder(tb testing.TB, film *stampedFilm, delay time.Duration, targets ...string) *encoder {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := &encoder{tb: tb, film: film, targets: targets, delay: delay, next: film.keys[0], cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		e.run(ctx)
	}()
	tb.Cleanup(func() {
		e.leave()
		if tb.Failed() {
			tb.Logf("encoder: %s", e)
		}
	})
	return e
}

func (e *encoder) run(ctx context.Context) {
	for ctx.Err() == nil {
		e.attempt(ctx)
		e.mu.Lock()
		over := e.over
		e.target++
		e.mu.Unlock()
		if over {
			return
		}
		pause := time.NewTimer(e.delay)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// attempt is one connection, from dialling to its end.
func (e *encoder) attempt(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var raw net.Conn
	dialer := ingest.RTMPDialer{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			raw = conn
			return conn, err
		},
		Reconnect: func(string) { cancel() },
	}
	e.mu.Lock()
	e.attempts++
	e.abandon = cancel
	c := &connection{target: e.target % len(e.targets), dialled: time.Now()}
	e.mu.Unlock()
	client, err := dialer.DialRTMP(ctx, e.targets[c.target])
	if err == nil {
		if err = client.Publish(ctx); err != nil {
			_ = raw.Close()
		}
	}
	if err != nil {
		e.noteRefusal(err)
		return
	}
	c.opened = time.Now()
	e.mu.Lock()
	e.connections = append(e.connections, c)
	e.mu.Unlock()
	// The server may ask to go elsewhere, or end the connection.
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			if _, err := client.ReadMessage(0); err != nil {
				e.noteRefusal(err)
				cancel()
				return
			}
		}
	})
	err = e.send(ctx, client, c)
	e.mu.Lock()
	c.ended, c.err = time.Now(), err
	hold := slices.Contains(e.held, nil) // abandoned: nobody is told
	if hold {
		e.held[len(e.held)-1] = raw
	}
	goodbye := e.finishing || e.over
	e.mu.Unlock()
	switch {
	case hold: // ended with the test
		return
	case goodbye:
		_ = client.Close()
	default:
		_ = raw.Close()
	}
	reader.Wait()
}

// noteRefusal keeps what the server said.
func (e *encoder) noteRefusal(err error) {
	if said, ok := errors.AsType[*ingest.RTMPStatusError](err); ok {
		e.mu.Lock()
		e.refusals = append(e.refusals, said.Error())
		e.mu.Unlock()
	}
}

// send sends the film in real time from where it is to go on.
func (e *encoder) send(ctx context.Context, client *ingest.RTMPClient, c *connection) error {
	for _, t := range e.film.tracks {
		kind, body := t.message(0, true, t.header)
		if err := client.WriteMessage(kind, 0, body); err != nil {
			return err
		}
	}
	e.mu.Lock()
	at := e.next
	e.mu.Unlock()
	for ; at < len(e.film.samples); at++ { // an encoder begins with a key frame
		if s := e.film.samples[at]; s.track.video && s.sync {
			break
		}
	}
	began, first := time.Now(), time.Duration(-1)
	for ; at < len(e.film.samples); at++ {
		s := e.film.samples[at]
		if first < 0 {
			first = s.dts
		}
		due := time.NewTimer(time.Until(began.Add(s.dts - first)))
		select {
		case <-due.C:
		case <-ctx.Done():
			due.Stop()
			return ctx.Err()
		}
		e.mu.Lock()
		if number := e.film.numbers[at]; number >= 0 {
			if len(c.sent) == 0 {
				c.first = time.Now()
			}
			c.sent = append(c.sent, sentPicture{number, time.Now()})
		} else {
			c.units++
		}
		e.next = at + 1
		e.mu.Unlock()
		if err := sendSample(client, s, first, nil); err != nil {
			return err
		}
	}
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
	return nil
}

// move leaves the connection and goes to the next node. If hold is set the old connection is neither closed nor reset:
// what lies in it stays for whoever reads it later.
func (e *encoder) move(hold bool) {
	e.mu.Lock()
	if hold {
		e.held = append(e.held, nil)
	}
	cancel := e.abandon
	e.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// finish ends the stream as an encoder does that is stopped.
func (e *encoder) finish() {
	e.mu.Lock()
	e.finishing = true
	e.mu.Unlock()
	e.leave()
}

// leave ends it, if it still goes on, without a goodbye.
func (e *encoder) leave() {
	e.cancel()
	<-e.done
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range e.held {
		if conn != nil {
			_ = conn.Close()
		}
	}
	e.held = nil
}

// connected gives what was sent on each connection so far.
func (e *encoder) connected() (all []connection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.connections {
		one := *c
		one.sent = slices.Clone(c.sent)
		all = append(all, one)
	}
	return all
}

// refused gives what servers said when they took no publisher.
func (e *encoder) refused() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.refusals)
}

// await waits until pictures have been sent on the connection of the number, from 0.
func (e *encoder) await(n int, limit time.Duration) connection {
	e.tb.Helper()
	var c connection
	eventually(e.tb, limit, fmt.Sprintf("the encoder sends on connection %d", n), func() bool {
		all := e.connected()
		if len(all) <= n || len(all[n].sent) == 0 {
			return false
		}
		c = all[n]
		return true
	})
	return c
}

// awaitPictures waits until so many more pictures have been sent.
func (e *encoder) awaitPictures(more int, limit time.Duration) {
	e.tb.Helper()
	count := func() (n int) {
		for _, c := range e.connected() {
			n += len(c.sent)
		}
		return n
	}
	before := count()
	eventually(e.tb, limit, fmt.Sprintf("%d pictures more are sent", more), func() bool { return count() >= before+more })
}

func (e *encoder) String() string {
	text := fmt.Sprintf("%d attempts, refused: %q", e.attempts, e.refused())
	for i, c := range e.connected() {
		text += fmt.Sprintf("\n  connection %d to %s at %s:", i, e.targets[c.target], c.opened.Format("15:04:05.000"))
		if n := len(c.sent); n > 0 {
			text += fmt.Sprintf(" %d pictures %d to %d, last at %s", n, c.sent[0].number, c.sent[n-1].number,
				c.sent[n-1].at.Format("15:04:05.000"))
		}
		if c.err != nil {
			text += ", ended: " + c.err.Error()
		}
	}
	return text
}
