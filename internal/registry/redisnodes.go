package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxNodes bounds the list of nodes.
const maxNodes = 4096

// The scripts on nodes. KEYS: the hash of nodes, the sorted set of their ends. ARGV: shift, NodeTTL, then their own.
var (
	// ARGV: id, JSON. Gives how many nodes there are; one too many is refused.
	registerScript = redis.NewScript(prelude + `
local nodes, ends, ttl = KEYS[1], KEYS[2], tonumber(ARGV[2])
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', whole(now))) do
  redis.call('HDEL', nodes, old)
  redis.call('ZREM', ends, old)
end
local count = redis.call('ZCARD', ends)
if count >= tonumber(ARGV[5]) and not redis.call('ZSCORE', ends, ARGV[3]) then return {'full'} end
redis.call('HSET', nodes, ARGV[3], ARGV[4])
redis.call('ZADD', ends, whole(now + ttl), ARGV[3])
redis.call('PEXPIRE', nodes, whole(ttl / 500))
redis.call('PEXPIRE', ends, whole(ttl / 500))
return {'listed'}
`)
	unregisterScript = redis.NewScript(prelude + `
redis.call('HDEL', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[3])
return {}
`)
	// Gives id and JSON of the nodes that are there. One that a clock which went back since let live for too long is not.
	nodesScript = redis.NewScript(prelude + `
local found, ttl = {}, tonumber(ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. whole(now), whole(now + 2 * ttl))) do
  local text = redis.call('HGET', KEYS[1], id)
  if text then
    found[#found + 1] = id
    found[#found + 1] = text
  end
end
return found
`)
)

func (r *Redis) nodeCall(script *redis.Script, args ...any) call {
	tag := r.prefix + ":{nodes}:"
	return r.call(script, []string{tag + "known", tag + "ends"}, append([]any{r.cfg.NodeTTL.Microseconds()}, args...)...)
}

// Register implements Registry. It is a beat for the leases too: while nodes register, Claim can tell that nobody was
// kept from renewing.
func (r *Redis) Register(ctx context.Context, node media.Node) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("register node %s: %w", node.ID, err)
	}
	if err := node.Check(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	node.URL = strings.TrimSuffix(node.URL, "/")
	text, err := json.Marshal(node)
	if err == nil && len(text) > maxEntry {
		err = fmt.Errorf("%w: %d bytes, want at most %d", media.ErrTooLarge, len(text), maxEntry)
	}
	if err != nil {
		return fmt.Errorf("register node %.100s: %w", node.ID, err)
	}
	var beats []call
	if node.Role != media.RoleEdge { // those are many, and an API process tells of each, which beats itself
		beats = r.beats()
	}
	calls := append(beats, r.nodeCall(registerScript, node.ID, text, maxNodes))
	cmds := r.run(ctx, calls...)
	// Where a bucket can't be reached there is no beat, and so no claim: rightly. That is no fault of registering.
	answer, err := list(ctx, cmds[len(cmds)-1], 1)
	if err == nil && answer[0] == "full" {
		err = fmt.Errorf("%w: the registry lists %d nodes", media.ErrLimit, maxNodes)
	}
	if err != nil {
		return fmt.Errorf("register node %s: %w", node.ID, err)
	}
	return nil
}

// beats tells all groups of streams that Redis is there.
func (r *Redis) beats() []call {
	calls := make([]call, 0, leaseBuckets+1)
	for b := range leaseBuckets {
		calls = append(calls, r.leaseCall(beatScript, b))
	}
	return calls
}

// Unregister implements Registry.
func (r *Redis) Unregister(ctx context.Context, id string) error {
	err := ctx.Err()
	if err == nil {
		_, err = r.texts(ctx, 0, r.nodeCall(unregisterScript, id))
	}
	if err != nil {
		return fmt.Errorf("unregister node %s: %w", id, err)
	}
	return nil
}

// Nodes implements Registry. An entry that is none of ours is logged and left out.
func (r *Redis) Nodes(ctx context.Context) ([]media.Node, error) {
	var found []string
	err := ctx.Err()
	if err == nil {
		found, err = r.texts(ctx, 0, r.nodeCall(nodesScript))
	}
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var nodes []media.Node
	for pair := range slices.Chunk(found, 2) {
		var node media.Node
		err := json.Unmarshal([]byte(pair[1]), &node)
		if err == nil {
			err = node.Check() // whoever may write there chooses whom nodes ask, but not what
		}
		if err != nil || node.ID != pair[0] {
			r.bad("node", pair[0], err)
			continue
		}
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b media.Node) int { return strings.Compare(a.ID, b.ID) })
	return nodes, nil
}
