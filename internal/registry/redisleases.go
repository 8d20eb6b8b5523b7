package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// leaseBuckets is how many groups the streams of all publishers are in. Each is in one slot of a Redis Cluster.
	leaseBuckets = 16
	// leaseMemory is how long a stream's epoch is remembered after its last lease. Later the floor alone makes it grow.
	leaseMemory = 7 * 24 * time.Hour
	// maxEpoch is far from where a script's doubles stop to count.
	maxEpoch = 1 << 52
	// renewBatch is the most leases that one script renews: nothing else is served by Redis meanwhile.
	renewBatch = 256
)

// leasePrelude begins every script on leases. KEYS: the hash of entries, the sorted set of ends. ARGV: shift, LeaseTTL,
// memory, then the script's own.
const leasePrelude = prelude + `
local leases, ends = KEYS[1], KEYS[2]
local ttl, memory = tonumber(ARGV[2]), tonumber(ARGV[3])

local function parse(text)
  local stop, epoch, origin, node, token = string.match(text or '', '^(%d+) (%d+) (%a+) (%S*) (%S*) ')
  if not stop then return {epoch = 0, origin = '', node = '', token = ''} end
  stop = tonumber(stop)
  -- A lease that ends too late was given by a clock that went back since: by another Redis, before a fail-over.
  local alive = node ~= '' and now < stop and stop <= now + 2 * ttl
  return {alive = alive, epoch = tonumber(epoch), origin = origin, node = node, token = token}
end

local function load(path) return parse(redis.call('HGET', leases, path) or nil) end

local function store(path, stop, epoch, origin, node, token, json)
  redis.call('HSET', leases, path, table.concat({whole(stop), whole(epoch), origin, node, token, json}, ' '))
  redis.call('ZADD', ends, whole(stop), path)
end

-- Gives for how long the nodes have found this Redis without a break in which leases could run out. Without the id of
-- the server it takes this for the one before: to ask for it takes longer than all else.
local function beat(run)
  local seen = redis.call('HMGET', leases, '@since', '@last', '@server')
  local since, last = tonumber(seen[1] or nil), tonumber(seen[2] or nil)
  run = run or seen[3] or '?'
  if not since or not last or math.abs(now - last) > ttl / 2 or seen[3] ~= run then since = now end
  redis.call('HSET', leases, '@since', whole(since), '@last', whole(now), '@server', run)
  redis.call('PEXPIRE', leases, whole(memory / 1000))
  redis.call('PEXPIRE', ends, whole(memory / 1000))
  return now - since
end
`

// The scripts on leases.
var (
	clockScript = redis.NewScript(prelude + `
return {whole(now)}
`)
	// ARGV: path, floor, node, token of the call, JSON, "claim" or "acquire", until when the caller waits. A call that is
	// tried again, as its answer was lost, is answered as before. One that comes late, from what a Redis that stood still
	// had not read yet, must not take a stream from its owner for somebody who gave up.
	giveScript = redis.NewScript(leasePrelude + `
local path, floor, node, token = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
if now > tonumber(ARGV[10]) then return {'late', ''} end
local age, before = beat(server()), load(path)
if before.token == token then return {'given', whole(before.epoch)} end
if ARGV[9] == 'claim' then
  if before.alive then return {'held', before.node} end
  if age < ttl then return {'young', whole(ttl - age)} end
end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', whole(now - memory), 'LIMIT', 0, 16)) do
  redis.call('HDEL', leases, old)
  redis.call('ZREM', ends, old)
end
local epoch = math.max(before.epoch, floor) + 1
store(path, now + ttl, epoch, 'given', node, token, ARGV[8])
return {'given', whole(epoch)}
`)
	// ARGV: path, node, epoch and JSON of every lease. Gives for each "" or, if it is lost, the newest epoch.
	renewScript = redis.NewScript(leasePrelude + `
beat()
local answers = {}
for i = 4, #ARGV, 4 do
  local path, node, epoch = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local before = load(path)
  local mine = before.node == node and before.epoch == epoch
  if mine then
    store(path, now + ttl, epoch, before.origin, node, before.token, ARGV[i + 3])
  elseif epoch > before.epoch and (before.origin == 'learnt' or not before.alive) then
    store(path, now + ttl, epoch, 'learnt', node, '-', ARGV[i + 3])
  else
    answers[#answers + 1] = whole(before.epoch)
  end
  if #answers < (i - 4) / 4 + 1 then answers[#answers + 1] = '' end
end
return answers
`)
	// ARGV: path, node, epoch.
	releaseScript = redis.NewScript(leasePrelude + `
beat()
local before = load(ARGV[4])
if before.node == ARGV[5] and whole(before.epoch) == ARGV[6] then
  store(ARGV[4], now, before.epoch, 'given', '', '-', '')
end
return {}
`)
	beatScript = redis.NewScript(leasePrelude + `
beat(server())
return {}
`)
	// ARGV: what the paths start with. Gives path and entry of every lease that lasts.
	listScript = redis.NewScript(leasePrelude + `
local found, start = {}, ARGV[4]
for _, path in ipairs(redis.call('ZRANGEBYSCORE', ends, '(' .. whole(now), '+inf')) do
  if string.sub(path, 1, #start) == start then
    local text = redis.call('HGET', leases, path)
    if parse(text or nil).alive then
      found[#found + 1] = path
      found[#found + 1] = text
    end
  end
end
return found
`)
	// ARGV: path. Gives the entry, or nothing.
	ownerScript = redis.NewScript(leasePrelude + `
local text = redis.call('HGET', leases, ARGV[4])
if parse(text or nil).alive then return {text} end
return {}
`)
)

// bucket is the group of a publisher's streams.
func bucket(publisher string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(publisher))
	return int(h.Sum32() % leaseBuckets)
}

func (r *Redis) leaseCall(script *redis.Script, bucket int, args ...any) call {
	tag := fmt.Sprintf("%s:{leases-%02d}:", r.prefix, bucket)
	times := []any{r.cfg.LeaseTTL.Microseconds(), leaseMemory.Microseconds()}
	return r.call(script, []string{tag + "held", tag + "ends"}, append(times, args...)...)
}

// Acquire implements Registry.
func (r *Redis) Acquire(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	return r.give(ctx, "acquire", lease, floor)
}

// Claim implements Registry. It refuses until the registry was there for LeaseTTL without a break, so that the owners
// that live have renewed their leases.
func (r *Redis) Claim(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	return r.give(ctx, "claim", lease, floor)
}

func (r *Redis) give(ctx context.Context, act string, lease media.Lease, floor uint64) (uint64, error) {
	epoch, err := r.tryGive(ctx, act, lease, floor)
	if err != nil {
		return 0, fmt.Errorf("%s stream %s: %w", act, lease.Path, err)
	}
	return epoch, nil
}

func (r *Redis) tryGive(ctx context.Context, act string, lease media.Lease, floor uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if lease.Node == "" {
		return 0, fmt.Errorf("%w: no node named", media.ErrInvalid)
	}
	if floor > maxEpoch {
		return 0, fmt.Errorf("%w: no epoch is above the floor %d: at most %d", media.ErrInvalid, floor, uint64(maxEpoch))
	}
	text, err := encodeLease(lease)
	if err != nil {
		return 0, err
	}
	b := bucket(lease.Path.Publisher)
	sent := r.leaseCall(giveScript, b, lease.Path.String(), floor, url.QueryEscape(lease.Node), rand.Text(), text, act)
	answer, err := r.inTime(ctx, sent, r.leaseCall(clockScript, b))
	if err != nil {
		return 0, err
	}
	switch answer[0] {
	case "late":
		return 0, fmt.Errorf("%w: Redis answered too late", media.ErrUnavailable)
	case "held":
		node, _ := url.QueryUnescape(answer[1])
		return 0, fmt.Errorf("%w: node %s owns it", media.ErrConflict, node)
	case "young":
		left, _ := strconv.ParseInt(answer[1], 10, 64)
		return 0, fmt.Errorf("%w: the registry was away, its owners have %v more to renew their leases",
			media.ErrUnavailable, time.Duration(left)*time.Microsecond)
	}
	return strconv.ParseUint(answer[1], 10, 64)
}

// inTime makes a call that takes effect as long as we wait for it, or never: its last argument becomes the end of our
// patience by the clock of Redis, for which another call asks first.
func (r *Redis) inTime(caller context.Context, c, clock call) ([]string, error) {
	end := time.Now().Add(callTimeout)
	ctx, cancel := context.WithDeadline(caller, end)
	defer cancel()
	answer, err := list(caller, r.run(ctx, clock)[0], 1)
	if err != nil {
		return nil, err
	}
	now, err := strconv.ParseInt(answer[0], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: time %.40q", media.ErrCorrupt, answer[0])
	}
	c.args = append(c.args, now+time.Until(end).Microseconds())
	return list(caller, r.run(ctx, c)[0], 2)
}

func encodeLease(lease media.Lease) (string, error) {
	text, err := json.Marshal(lease)
	if err == nil && len(text) > maxEntry {
		err = fmt.Errorf("%w: a lease of %d bytes, want at most %d", media.ErrTooLarge, len(text), maxEntry)
	}
	return string(text), err
}

// Renew implements Registry.
func (r *Redis) Renew(ctx context.Context, lease media.Lease) error {
	return r.RenewAll(ctx, []media.Lease{lease})[0]
}

// RenewAll implements Registry, in one round trip.
func (r *Redis) RenewAll(ctx context.Context, leases []media.Lease) []error {
	errs := make([]error, len(leases))
	var calls []call
	var asked [][]int // by call: the leases that it renews
	var open [leaseBuckets]int
	for i, lease := range leases {
		args, err := renewal(ctx, lease)
		if err != nil {
			errs[i] = err
			continue
		}
		b := bucket(lease.Path.Publisher)
		if at := open[b] - 1; at < 0 || len(asked[at]) == renewBatch {
			calls = append(calls, r.leaseCall(renewScript, b))
			asked = append(asked, nil)
			open[b] = len(calls)
		}
		at := open[b] - 1
		calls[at].args = append(calls[at].args, args...)
		asked[at] = append(asked[at], i)
	}
	if len(calls) > 0 {
		for at, cmd := range r.run(ctx, calls...) {
			answers, err := list(ctx, cmd, len(asked[at]))
			for n, i := range asked[at] {
				switch {
				case err != nil:
					errs[i] = err
				case answers[n] != "":
					errs[i] = fmt.Errorf("%w: node %s has epoch %d, the newest is %s",
						media.ErrFenced, leases[i].Node, leases[i].Epoch, answers[n])
				}
			}
		}
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("renew stream %s: %w", leases[i].Path, err)
		}
	}
	return errs
}

// renewal is what the script needs to renew a lease.
func renewal(ctx context.Context, lease media.Lease) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if lease.Node == "" {
		return nil, fmt.Errorf("%w: no node named", media.ErrFenced)
	}
	if lease.Epoch > maxEpoch {
		return nil, fmt.Errorf("%w: epoch %d is above %d", media.ErrInvalid, lease.Epoch, uint64(maxEpoch))
	}
	text, err := encodeLease(lease)
	return []any{lease.Path.String(), url.QueryEscape(lease.Node), lease.Epoch, text}, err
}

// Release implements Registry.
func (r *Redis) Release(ctx context.Context, path media.StreamPath, node string, epoch uint64) error {
	err := ctx.Err()
	if err == nil {
		args := []any{path.String(), url.QueryEscape(node), epoch}
		_, err = r.texts(ctx, 0, r.leaseCall(releaseScript, bucket(path.Publisher), args...))
	}
	if err != nil {
		return fmt.Errorf("release stream %s: %w", path, err)
	}
	return nil
}

// Owner implements Registry.
func (r *Redis) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	var answer []string
	err := ctx.Err()
	if err == nil {
		answer, err = r.texts(ctx, 0, r.leaseCall(ownerScript, bucket(path.Publisher), path.String()))
	}
	var lease media.Lease
	if err == nil && len(answer) > 0 {
		lease, err = decodeLease(path, answer[0])
	}
	if err != nil {
		return media.Lease{}, false, fmt.Errorf("owner of stream %s: %w", path, err)
	}
	return lease, len(answer) > 0, nil
}

// Leases implements Registry. An entry that is none of ours is logged and left out.
func (r *Redis) Leases(ctx context.Context, publisher string) ([]media.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	var calls []call
	if publisher != "" {
		calls = []call{r.leaseCall(listScript, bucket(publisher), publisher+"/")}
	} else {
		for b := range leaseBuckets {
			calls = append(calls, r.leaseCall(listScript, b, ""))
		}
	}
	var leases []media.Lease
	for _, cmd := range r.run(ctx, calls...) {
		found, err := list(ctx, cmd, 0)
		if err != nil {
			return nil, fmt.Errorf("list leases: %w", err)
		}
		for pair := range slices.Chunk(found, 2) {
			path, err := media.ParseStreamPath(pair[0])
			if err == nil {
				var lease media.Lease
				if lease, err = decodeLease(path, pair[1]); err == nil {
					leases = append(leases, lease)
					continue
				}
			}
			r.bad("lease", pair[0], err)
		}
	}
	slices.SortFunc(leases, func(a, b media.Lease) int { return strings.Compare(a.Path.String(), b.Path.String()) })
	return leases, nil
}

// decodeLease reads a stream's entry: its end, epoch, origin, node and token, and the lease as JSON.
func decodeLease(path media.StreamPath, entry string) (media.Lease, error) {
	fields := strings.SplitN(entry, " ", 6)
	if len(fields) < 6 || len(fields[5]) > maxEntry {
		return media.Lease{}, fmt.Errorf("%w: lease entry %.100q", media.ErrCorrupt, entry)
	}
	var lease media.Lease
	epoch, err := strconv.ParseUint(fields[1], 10, 64)
	if err == nil {
		err = json.Unmarshal([]byte(fields[5]), &lease)
	}
	if err != nil {
		return media.Lease{}, fmt.Errorf("%w: lease entry: %.300s", media.ErrCorrupt, err.Error()) // it repeats what it read
	}
	lease.Path, lease.Epoch = path, epoch
	return lease, nil
}
