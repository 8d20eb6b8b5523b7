package ingest

import (
	"errors"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

var streamIDCases = []struct {
	id      string
	want    target
	wantErr error
}{
	{"publish:acme/show:key", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key"}, nil},
	{"publish:acme/show:a:b,c=d", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "a:b,c=d"}, nil},
	{`"publish:/acme/show:key"`, target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key"}, nil},
	{"#!::r=acme/show,m=publish,s=key,u=me", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key"}, nil},
	{"%23!::r=acme%2Fshow,m=publish,s=k%2B1", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "k+1"}, nil},
	{"#!::u=me,s=k=1,h=host,t=stream,m=publish,r=/acme/show", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "k=1"}, nil},
	{"#!::r=acme/show,m=publish,s=key,program=2", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key", program: 2}, nil},
	{"#!::r=acme/show,m=publish,s=key,program=0", target{}, media.ErrInvalid},
	{"#!::r=acme/show,m=publish,s=key,program=secret", target{}, media.ErrInvalid},
	{"#!::r=acme/show,m=publish,s=key,program=65536", target{}, media.ErrInvalid},
	{"publish:acme/show:key:backup", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key", backup: true}, nil},
	{"publish:acme/show:a:b:backup", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "a:b", backup: true}, nil},
	{"publish:acme/show:backup", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "backup"}, nil},
	{"publish:acme/show::backup", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}}, errNoKey},
	{"#!::r=acme/show,m=publish,s=key,backup=1", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key", backup: true}, nil},
	{"#!::backup=true,program=3,r=acme/show,m=publish,s=key", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key", program: 3, backup: true}, nil},
	{"#!::r=acme/show,m=publish,s=key,backup=0", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key"}, nil},
	{"#!::r=acme/show,m=publish,s=key,backup=secret", target{}, media.ErrInvalid},
	{"#!::r=acme/show,s=key", target{}, errMode},
	{"#!::m=request,r=acme/show,s=key", target{}, errPlay},
	{"play:acme/show:key", target{}, errPlay},
	{"#!::m=other,r=acme/show,s=key", target{}, errMode},
	{"#!::t=file,m=publish,r=acme/show,s=key", target{}, media.ErrUnsupported},
	{"#!:{r: acme/show}", target{}, errStreamID},
	{"#!::secret", target{}, errStreamID},
	{"secret", target{}, errStreamID},
	{"", target{}, errNoKey},
	{"publish:acme/show", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}}, errNoKey},
	{"publish:secret", target{}, media.ErrBadName},
	{"publish:Acme/show:key", target{}, media.ErrBadName},
	{"publish:v1/show:key", target{}, media.ErrBadName},
	{strings.Repeat("x", maxStreamID+1), target{}, media.ErrTooLarge},
}

func TestParseStreamID(t *testing.T) {
	for _, tt := range streamIDCases {
		got, err := parseStreamID(tt.id)
		if got != tt.want || !errors.Is(err, tt.wantErr) {
			t.Errorf("%q: %+v, %v", tt.id, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error repeats it: %v", tt.id, err)
		}
	}
}

// FuzzSRTStreamID: what is accepted has a name of good form and a key within its limit.
func FuzzSRTStreamID(f *testing.F) {
	for _, tt := range streamIDCases {
		f.Add(tt.id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, err := parseStreamID(id)
		if err != nil {
			if r := refuse(err); r.reason == reasonInternal || r.srt < srtBadRequest {
				t.Errorf("%q: %v is refused as %s, %d", id, err, r.reason, r.srt)
			}
			return
		}
		if _, err := media.ParseStreamPath(got.path.String()); err != nil || got.key == "" || len(got.key) > maxKey ||
			got.program < 0 || got.program > 65535 {
			t.Errorf("%q: %+v", id, got)
		}
	})
}
