package objstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
)

const (
	// rolePatience is how long a request waits for EC2's metadata service, which answers within milliseconds where it is.
	// Elsewhere its address may swallow what is sent there, and the SDK tries for half a minute.
	rolePatience = 3 * time.Second
	// roleMemory is for how long it is not asked again when it had no role to tell.
	roleMemory = 10 * time.Second
)

// machineRole gives the keys of the role that this machine has by EC2's metadata service: what the SDK's default chain
// ends with where the environment and the shared files name nothing. A search that takes longer than rolePatience goes
// on, and what it finds is there for later requests.
type machineRole struct {
	found aws.CredentialsProvider

	mu     sync.Mutex
	failed *credentialsError
	until  time.Time // failed is the answer until then
}

// withinPatience bounds the default chain's last resort. Whatever else it found (keys, a profile, a web identity, a
// container's role) was asked for, and has the time that it takes.
func withinPatience(found aws.CredentialsProvider) aws.CredentialsProvider {
	if !aws.IsCredentialsProvider(found, (*ec2rolecreds.Provider)(nil)) {
		return found
	}
	return &machineRole{found: found}
}

// Retrieve gives the keys, or a credentialsError.
func (r *machineRole) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if failed := r.remembered(); failed != nil {
		return aws.Credentials{}, failed
	}
	asking, cancel := context.WithTimeout(ctx, rolePatience)
	defer cancel()
	keys, err := r.found.Retrieve(asking)
	if err == nil {
		return keys, nil
	}
	if ctx.Err() != nil {
		return aws.Credentials{}, ctx.Err()
	}
	failed := &credentialsError{"EC2's metadata service: " + err.Error()}
	if asking.Err() != nil {
		failed.why = fmt.Sprintf("EC2's metadata service tells no role within %v", rolePatience)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed, r.until = failed, time.Now().Add(roleMemory)
	return aws.Credentials{}, failed
}

func (r *machineRole) remembered() *credentialsError {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) {
		return r.failed
	}
	return nil
}

// credentialsError says that nobody gave keys, and where they were looked for last. It wraps nothing: what went wrong
// on the way to the metadata service says nothing of the store.
type credentialsError struct{ why string }

func (e *credentialsError) Error() string { return "no credentials: " + e.why }

const credentialsAdvice = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or " +
	"AWS_SHARED_CREDENTIALS_FILE, or give the machine or the pod a role"

// adviceFor says what is wrong and what to do about an error of that state.
func adviceFor(state string, err error) string {
	if _, ok := errors.AsType[*credentialsError](err); ok {
		return credentialsAdvice
	}
	return advice(state)
}
