package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// What is known of people lies in partitions of its own, beside those of the endpoints, whose names begin otherwise.
const (
	sessionPartition = "session"
	blockPartition   = "block"
	refusalPartition = "refusal"
	ratePartition    = "rate"

	refusalsKept = 30 * 24 * time.Hour
	// spendTries bounds Spend among callers who spend of one subject at the same time; each try lets one of them through.
	spendTries = 20
)

// SaveSession implements access.Store.
func (s *Store) SaveSession(ctx context.Context, session access.Session) error {
	if session.ID == "" || session.Subject == "" || session.Until.IsZero() {
		return fmt.Errorf("save session: %w: it needs an id, a subject and an end", latch.ErrBadRequest)
	}
	item, err := newItem(sessionPartition, session.ID, session)
	if err != nil {
		return err
	}
	item["expires"] = expires(session.Until)
	old, err := s.put(ctx, item, "", nil, true)
	if err == nil && old != nil && !sameBody(old, item) { // the same is our own write, whose answer was lost
		err = fmt.Errorf("%w: the id is taken", latch.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

// Session implements access.Store.
func (s *Store) Session(ctx context.Context, id string) (access.Session, error) {
	var x access.Session
	err := s.get(ctx, sessionPartition, id, true, &x)
	if err == nil && !time.Now().Before(x.Until) { // also the zero one, where there is none
		err = latch.ErrNotFound
	}
	if err != nil {
		return access.Session{}, fmt.Errorf("load session: %w", err)
	}
	return x, nil
}

// EndSession implements access.Store.
func (s *Store) EndSession(ctx context.Context, id string) error {
	if err := s.drop(ctx, key(sessionPartition, id), "", nil); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Sessions implements access.Store.
func (s *Store) Sessions(ctx context.Context) ([]access.Session, error) {
	all, err := list[access.Session](ctx, s, sessionPartition)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	now := time.Now()
	all = slices.DeleteFunc(all, func(x access.Session) bool { return !now.Before(x.Until) })
	slices.SortStableFunc(all, func(a, b access.Session) int { return b.Since.Compare(a.Since) })
	return all, nil
}

// Blocked implements access.Store.
func (s *Store) Blocked(ctx context.Context, who latch.Subject) (*access.Block, error) {
	b, err := s.block(ctx, who)
	if err != nil {
		return nil, fmt.Errorf("look for a block of %s: %w", who, err)
	}
	return b, nil
}

func (s *Store) block(ctx context.Context, who latch.Subject) (*access.Block, error) {
	var b access.Block
	if err := s.get(ctx, blockPartition, string(who), true, &b); err != nil || b.Subject == "" || !inForce(b, time.Now()) {
		return nil, err
	}
	return &b, nil
}

func inForce(b access.Block, now time.Time) bool { return b.Until.IsZero() || now.Before(b.Until) }

// SaveBlock implements access.Store. A write whose answer was lost is repeated, and replaces itself.
func (s *Store) SaveBlock(ctx context.Context, b access.Block) error {
	if b.Subject == "" || b.Since.IsZero() {
		return fmt.Errorf("block: %w: it needs a subject and a beginning", latch.ErrBadRequest)
	}
	item, err := newItem(blockPartition, string(b.Subject), b)
	if err != nil {
		return err
	}
	item["at"] = number(b.Since.UnixNano())
	if !b.Until.IsZero() {
		item["expires"] = expires(b.Until)
	}
	if _, err := s.put(ctx, item, "attribute_exists(#at)", map[string]types.AttributeValue{}, true); err != nil {
		return fmt.Errorf("block %s: %w", b.Subject, err)
	}
	return nil
}

// Unblock implements access.Store. It removes the block that it has read: a removal whose answer was lost finds nothing
// the second time, which is success, and a block that somebody put in its place meanwhile stays.
func (s *Store) Unblock(ctx context.Context, who latch.Subject) error {
	b, err := s.block(ctx, who)
	if err == nil && b == nil {
		err = fmt.Errorf("%w: there is no block", latch.ErrNotFound)
	}
	if err == nil {
		err = s.drop(ctx, key(blockPartition, string(who)), "#at = :at", map[string]types.AttributeValue{":at": number(b.Since.UnixNano())})
	}
	if err != nil {
		return fmt.Errorf("unblock %s: %w", who, err)
	}
	return nil
}

// Blocks implements access.Store.
func (s *Store) Blocks(ctx context.Context) ([]access.Block, error) {
	all, err := list[access.Block](ctx, s, blockPartition)
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	now := time.Now()
	all = slices.DeleteFunc(all, func(b access.Block) bool { return !inForce(b, now) })
	slices.SortStableFunc(all, func(a, b access.Block) int { return b.Since.Compare(a.Since) })
	return all, nil
}

// SaveRefusal implements access.Store.
func (s *Store) SaveRefusal(ctx context.Context, r access.Refusal) error {
	if r.Subject == "" || r.Action == "" || r.At.IsZero() {
		return fmt.Errorf("save refusal: %w: it needs a subject, an action and a time", latch.ErrBadRequest)
	}
	// Neither an endpoint's id nor an action holds the separator, so whatever the subject is, no two share a key.
	item, err := newItem(refusalPartition, string(r.Subject)+"#"+string(r.Endpoint)+"#"+string(r.Action), r)
	if err != nil {
		return err
	}
	item["at"], item["expires"] = number(r.At.UnixNano()), expires(r.At.Add(refusalsKept))
	// What stands in the way is later, or this very refusal.
	if _, err := s.put(ctx, item, "#at < :at", map[string]types.AttributeValue{":at": item["at"]}, true); err != nil {
		return fmt.Errorf("save refusal of %s: %w", r.Subject, err)
	}
	return nil
}

// Refusals implements access.Store. It reads all of a month and sorts them: administrators look at it, and nobody else.
func (s *Store) Refusals(ctx context.Context, limit int) ([]access.Refusal, error) {
	if limit <= 0 {
		return nil, nil
	}
	all, err := list[access.Refusal](ctx, s, refusalPartition)
	if err != nil {
		return nil, fmt.Errorf("list refusals: %w", err)
	}
	now := time.Now()
	all = slices.DeleteFunc(all, func(r access.Refusal) bool { return !now.Before(r.At.Add(refusalsKept)) })
	slices.SortFunc(all, func(a, b access.Refusal) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Action, b.Action))
	})
	return all[:min(limit, len(all))], nil
}

// Spend implements access.Store. The item's "at" is until when the subject's changes have been paid for (access.Take). Who
// has none outstanding, which is nearly everybody, costs one write and no read.
func (s *Store) Spend(ctx context.Context, who latch.Subject, now time.Time, every time.Duration, burst int) (time.Duration, error) {
	if who == "" || every <= 0 || burst < 1 {
		return 0, fmt.Errorf("rate of %s: %w: it needs a subject, a time and a number", who, latch.ErrBadRequest)
	}
	write := rand.Text()
	condition, values := "#at <= :now", map[string]types.AttributeValue{":now": number(now.UnixNano())}
	next, _ := access.Take(time.Time{}, now, every, burst)
	for range spendTries {
		item := key(ratePartition, string(who))
		item["v"], item["at"], item["writeId"], item["expires"] = number(layout), number(next.UnixNano()), text(write), expires(next)
		old, err := s.put(ctx, item, condition, values, true)
		if err == nil && (old == nil || textOf(old["writeId"]) == write) { // the second is our own, whose answer was lost
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("rate of %s: %w", who, err)
		}
		paid, err := strconv.ParseInt(numberOf(old["at"]), 10, 64)
		if err != nil { // it was dropped between the condition and the look at what was in the way
			continue
		}
		var wait time.Duration
		if next, wait = access.Take(time.Unix(0, paid), now, every, burst); wait > 0 {
			return wait, nil
		}
		condition, values = "#at = :was", map[string]types.AttributeValue{":was": number(paid)}
	}
	return 0, fmt.Errorf("rate of %s: %w", who, latch.ErrConflict)
}

// expires is the value of the table's TTL attribute, in seconds since 1970 ("Using time to live (TTL) in DynamoDB",
// Developer Guide). What has expired is deleted within days, so whoever reads looks at the time too.
func expires(at time.Time) types.AttributeValue {
	return number(at.Add(time.Second - time.Nanosecond).Unix())
}

// drop deletes an item if only is empty or holds for it, and if it has no newer layout. One that is not there is not an
// error: a deletion whose answer was lost is repeated by the SDK. The error is latch.ErrConflict when only does not hold.
func (s *Store) drop(ctx context.Context, key map[string]types.AttributeValue, only string, values map[string]types.AttributeValue) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	condition, names := "#v <= :layout", map[string]string{"#v": "v"}
	if only != "" {
		condition += " AND " + only
		names["#at"] = "at"
	} else {
		values = map[string]types.AttributeValue{}
	}
	values[":layout"] = number(layout)
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: new(s.table), Key: key,
		ConditionExpression: new("attribute_not_exists(pk) OR (" + condition + ")"), ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	if _, lost := errors.AsType[*types.ConditionalCheckFailedException](err); lost {
		there, err := s.item(ctx, key, true)
		if err == nil {
			err = checkLayout(there)
		}
		if err == nil && there != nil {
			err = fmt.Errorf("%w: it is another one by now", latch.ErrConflict)
		}
		return err
	}
	if err != nil {
		return service.Translate(err)
	}
	return nil
}

// list reads a whole partition, whose items are all of one type.
func list[T any](ctx context.Context, s *Store, partition string) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pages := dynamodb.NewQueryPaginator(s.client, &dynamodb.QueryInput{
		TableName:                 new(s.table),
		KeyConditionExpression:    new("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": text(partition)},
		ConsistentRead:            new(true),
	})
	var all []T
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, service.Translate(err)
		}
		for _, item := range page.Items {
			var x T
			if err := decode(item, &x); err != nil {
				return nil, err
			}
			all = append(all, x)
		}
	}
	return all, nil
}
