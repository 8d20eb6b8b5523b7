package objstore

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/oxbow-video/oxbow/internal/media"
)

// alone has the SDK find nothing in the environment, and ask for a role at the given metadata service.
func alone(t *testing.T, metadata string) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_EC2_METADATA_DISABLED", "AWS_CA_BUNDLE",
	} {
		t.Setenv(name, "")
	}
	nothing := filepath.Join(t.TempDir(), "nothing")
	t.Setenv("AWS_CONFIG_FILE", nothing)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", nothing)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata)
}

// metadataService has a role, or answers 404 as it does on a machine without one.
func metadataService(t *testing.T, role bool) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch at := strings.TrimSuffix(r.URL.Path, "/"); {
		case at == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			_, _ = io.WriteString(w, "token")
		case role && strings.HasSuffix(at, "/the-role"):
			_, _ = io.WriteString(w, `{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "key-of-the-role", "Token": "t",`+
				`"SecretAccessKey": "secret", "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z"}`)
		case role:
			_, _ = io.WriteString(w, "the-role")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// signedWith is a store that answers everything with 404, and tells by whose key it was asked last.
func signedWith(t *testing.T) (s *S3, key func() string) {
	t.Helper()
	asked := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Authorization")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	s, err := OpenS3(t.Context(), S3Config{Endpoint: server.URL, Region: "r", Bucket: "shows"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, func() string {
		_, key, _ := strings.Cut(<-asked, "Credential=")
		key, _, _ = strings.Cut(key, "/")
		return key
	}
}

func TestRoleOfTheMachineIsUsed(t *testing.T) {
	alone(t, metadataService(t, true))
	s, key := signedWith(t)
	_, _ = s.ReadFile(t.Context(), "a/b") // 404
	if got := key(); got != "key-of-the-role" {
		t.Errorf("asked with %q", got)
	}
}

func TestKeysOfTheEnvironmentGoBeforeTheRole(t *testing.T) {
	alone(t, metadataService(t, true))
	t.Setenv("AWS_ACCESS_KEY_ID", "mine")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	s, key := signedWith(t)
	_, _ = s.ReadFile(t.Context(), "a/b") // 404
	if got := key(); got != "mine" {
		t.Errorf("asked with %q", got)
	}
}

func TestNoCredentialsAreToldAsThat(t *testing.T) {
	alone(t, metadataService(t, false))
	s, _ := signedWith(t)
	_, err := s.Put(t.Context(), "a/b", strings.NewReader("x"), 1, media.PutOptions{})
	if err == nil || StateOf(err) != StateDenied || !errors.Is(err, media.ErrUnavailable) {
		t.Fatalf("state %q, %v", StateOf(err), err)
	}
	for _, want := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE", "in shows"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "the store refuses") {
		t.Errorf("the store was never asked: %v", err)
	}
}

// swallows is a metadata service that never answers.
type swallows struct{}

func (swallows) Retrieve(ctx context.Context) (aws.Credentials, error) {
	<-ctx.Done()
	return aws.Credentials{}, &aws.RequestCanceledError{Err: ctx.Err()}
}

func TestSilentMetadataServiceCostsSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := func(err error) bool {
			_, ok := errors.AsType[*credentialsError](err)
			return ok && !callerLeft(err)
		}
		begun := time.Now()
		role := &machineRole{found: swallows{}}
		for range 3 { // the second and the third learn it at once
			if _, err := role.Retrieve(t.Context()); !none(err) || time.Since(begun) != rolePatience {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		}
		time.Sleep(roleMemory)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := role.Retrieve(ctx); !callerLeft(err) {
			t.Errorf("of a caller who left: %v", err)
		}
		if _, err := role.Retrieve(t.Context()); !none(err) || time.Since(begun) != 2*rolePatience+roleMemory+time.Second {
			t.Errorf("a caller who left says nothing of the machine: after %v: %v", time.Since(begun), err)
		}
	})
}
