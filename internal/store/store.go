// Package store is latch.Store and access.Store in one DynamoDB table: wishes, the last look, and the audit; sessions,
// blocks, refusals, and how often somebody may change something.
//
// The table has a partition key "pk" and a sort key "sk", both strings:
//
//	pk             sk                                  beside v and body
//	endpoint's id  record                              version N, writeId S         latch.Record
//	               look                                at N                         latch.Observation
//	               claim                               at N                         who may look next; no body
//	               audit#2026-03-01T09:30:00.1…Z#id    expires N if not for ever    latch.Entry
//	nightlatch     audit#…                             —                            latch.Entry about no endpoint
//	session        SHA-256 of the cookie's value       expires N                    access.Session
//	block          subject                             at N, expires N if it ends   access.Block
//	refusal        subject#endpoint's id#action        at N, expires N              access.Refusal
//	rate           subject                             at N, writeId S, expires N   paid until then; no body
//
// "v" is the layout's number. An item with a higher one was written by a newer Nightlatch: it is neither read nor
// overwritten, and the error says what to do. "body" is the value's JSON in one string attribute: it is always read
// and written whole, and JSON keeps 64-bit counters, nanoseconds and fields that come later without a second mapping
// to maintain. A long one is instead in "packed", gzipped: thousands of connections would not fit an item's 400 KB.
// Attributes of their own are only what a condition compares. Times in "at" are nanoseconds since 1970, exact in
// DynamoDB's 38 digits; those in "sk" have nine decimals always, so that text order is time order. "expires" is the
// table's time to live attribute, if a deployment has made it that; nothing is read that has expired, deleted or not.
//
// Every write is conditional. What is deleted is a session that was ended and a block that was taken back, and nothing else:
// "expires", in seconds since 1970, is the table's attribute for its time to live, which whoever makes the table for a
// deployment has to enable ("Using time to live (TTL) in DynamoDB", Developer Guide; Create does not). DynamoDB may take days
// to delete.
package store

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/nightlatch/nightlatch/internal/latch"
)

const (
	// layout is the number in "v".
	layout = 1
	// patience bounds one method with its pages and retries, when the caller's context does not end sooner.
	patience = 10 * time.Second
	// attempts and maxBackoff suit a service that answers in milliseconds. The retryer is the SDK's standard one: the
	// adaptive one would hold all calls back for seconds after one throttled write.
	attempts   = 3
	maxBackoff = 500 * time.Millisecond

	// packAbove is the longest body in plain text, in bytes; unpackTo bounds what a packed one may grow to.
	packAbove = 64 << 10
	unpackTo  = 16 << 20

	// nobodys is the partition of what is about no endpoint.
	nobodys = "nightlatch"

	auditPrefix = "audit#"
	auditTime   = "2006-01-02T15:04:05.000000000Z"
)

// Config is what New needs; every field but KeepAudit is required.
type Config struct {
	AWS   aws.Config // at least Region and Credentials; nothing is read from the environment
	Table string
	// KeepAudit is how long audit entries are kept that are written from now on; 0 is for ever.
	KeepAudit time.Duration
}

// Store implements latch.Store and access.Store.
type Store struct {
	client    *api
	table     string
	keepAudit time.Duration
}

// New checks c and makes no call.
func New(c Config) (*Store, error) {
	if c.AWS.Region == "" || c.AWS.Credentials == nil || c.Table == "" {
		return nil, errors.New("store: Region, Credentials and Table are required")
	}
	if c.KeepAudit < 0 {
		return nil, errors.New("store: KeepAudit is shorter than nothing")
	}
	client := dynamodb.NewFromConfig(c.AWS, func(o *dynamodb.Options) {
		// Two writers that met are no fault of either; the SDK does not try these again by itself.
		o.Retryer = retry.AddWithErrorCodes(retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = attempts, maxBackoff }),
			"TransactionConflictException", "ReplicatedWriteConflictException")
		// One host name for all accounts, which is the one that proxies and VPC endpoints know.
		o.AccountIDEndpointMode = aws.AccountIDEndpointModeDisabled
	})
	return &Store{newAPI(client), c.Table, c.KeepAudit}, nil
}

// Load implements latch.Store. The read is strongly consistent: a wish that was answered is seen.
func (s *Store) Load(ctx context.Context, id latch.EndpointID) (r latch.Record, err error) {
	if err := s.get(ctx, id, "record", true, &r); err != nil {
		return latch.Record{}, fmt.Errorf("load record of %s: %w", id, err)
	}
	return r, nil
}

// Save implements latch.Store. A write whose answer was lost is repeated by the SDK and then finds its own work in
// the way: the WriteID tells that from somebody else's.
func (s *Store) Save(ctx context.Context, id latch.EndpointID, r latch.Record) (latch.Record, error) {
	was := r.Version
	r = r.Clone()
	r.Version, r.WriteID = was+1, rand.Text()
	item, err := newItem(id, "record", r)
	if err != nil {
		return latch.Record{}, err
	}
	item["version"], item["writeId"] = number(r.Version), text(r.WriteID)
	old, err := s.put(ctx, item, "#version = :version", map[string]types.AttributeValue{":version": number(was)}, was == 0)
	if err == nil && old != nil && textOf(old["writeId"]) != r.WriteID {
		err = fmt.Errorf("%w: version %s is stored, %d was read", latch.ErrConflict, numberOf(old["version"]), was)
	}
	if err != nil {
		return latch.Record{}, fmt.Errorf("save record of %s: %w", id, err)
	}
	return r, nil
}

// Look implements latch.Store. The read is eventually consistent, at half the price: it is for people who look.
func (s *Store) Look(ctx context.Context, id latch.EndpointID) (o latch.Observation, err error) {
	if err := s.get(ctx, id, "look", false, &o); err != nil {
		return latch.Observation{}, fmt.Errorf("load last look at %s: %w", id, err)
	}
	return o, nil
}

// SaveLook implements latch.Store.
func (s *Store) SaveLook(ctx context.Context, o latch.Observation) error {
	item, err := newItem(o.Endpoint, "look", o)
	if err != nil {
		return err
	}
	item["at"] = number(o.At.UnixNano())
	// What stands in the way is newer, or this very look.
	_, err = s.put(ctx, item, "#at < :at", map[string]types.AttributeValue{":at": item["at"]}, true)
	if err != nil {
		return fmt.Errorf("save look at %s: %w", o.Endpoint, err)
	}
	return nil
}

// ClaimLook implements latch.Store. A claim whose answer was lost looks like somebody else's: then nobody looks until
// the next, which delays a picture and nothing more.
func (s *Store) ClaimLook(ctx context.Context, id latch.EndpointID, now time.Time, every time.Duration) (bool, error) {
	item := key(id, "claim")
	item["v"], item["at"] = number(layout), number(now.UnixNano())
	old, err := s.put(ctx, item, "#at <= :before", map[string]types.AttributeValue{":before": number(now.Add(-every).UnixNano())}, true)
	if err != nil {
		return false, fmt.Errorf("claim look at %s: %w", id, err)
	}
	return old == nil, nil
}

// Append implements latch.Store.
func (s *Store) Append(ctx context.Context, e latch.Entry) error {
	if e.ID == "" || e.At.IsZero() {
		return fmt.Errorf("append to audit: %w: an entry needs an id and a time", latch.ErrBadRequest)
	}
	e.At = e.At.UTC().Round(0)
	item, err := newItem(cmp.Or(e.Endpoint, nobodys), auditPrefix+e.At.Format(auditTime)+"#"+e.ID, e)
	if err != nil {
		return err
	}
	if s.keepAudit > 0 {
		item["expires"] = number(e.At.Add(s.keepAudit).Unix())
	}
	old, err := s.put(ctx, item, "", nil, true)
	if err == nil && old != nil && !sameBody(old, item) {
		err = fmt.Errorf("%w: entry %s is there with another content", latch.ErrConflict, e.ID)
	}
	if err != nil {
		return fmt.Errorf("append to audit of %s: %w", e.Endpoint, err)
	}
	return nil
}

// Entries implements latch.Store.
func (s *Store) Entries(ctx context.Context, id latch.EndpointID, limit int) ([]latch.Entry, error) {
	if limit <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pages := dynamodb.NewQueryPaginator(s.client, &dynamodb.QueryInput{
		TableName:                 new(s.table),
		KeyConditionExpression:    new("pk = :pk AND begins_with(sk, :prefix)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": text(string(cmp.Or(id, nobodys))), ":prefix": text(auditPrefix)},
		ConsistentRead:            new(true),
		ScanIndexForward:          new(false),
		Limit:                     new(int32(min(limit, 1000))),
	})
	var newest []latch.Entry
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read audit of %s: %w", id, service.Translate(err))
		}
		for _, item := range page.Items {
			if expired(item) {
				continue
			}
			var e latch.Entry
			if err := decode(item, &e); err != nil {
				return nil, fmt.Errorf("read audit of %s: %w", id, err)
			}
			if newest = append(newest, e); len(newest) == limit {
				return newest, nil
			}
		}
	}
	return newest, nil
}

// elsewhere is the partition of the entries that are about no endpoint.
const elsewhere = "nightlatch"

// Audit reads the entries of an endpoint from a time on and before another, the oldest first; the zero time is no bound,
// and no endpoint stands for the entries that are about none. It asks for a page when those before it were taken. An error
// ends it.
func (s *Store) Audit(ctx context.Context, id latch.EndpointID, from, to time.Time) iter.Seq2[latch.Entry, error] {
	// "audit#" and a time sort before all entries of that time, and "audit$" behind all entries.
	first, end := auditPrefix, "audit$"
	if !from.IsZero() {
		first = auditPrefix + from.UTC().Format(auditTime)
	}
	if !to.IsZero() {
		end = auditPrefix + to.UTC().Format(auditTime)
	}
	return func(yield func(latch.Entry, error) bool) {
		if first >= end {
			return // which DynamoDB refuses
		}
		pages := dynamodb.NewQueryPaginator(s.client, &dynamodb.QueryInput{
			TableName:                 new(s.table),
			KeyConditionExpression:    new("pk = :pk AND sk BETWEEN :first AND :end"), // no key is :end itself
			ExpressionAttributeValues: map[string]types.AttributeValue{":pk": text(cmp.Or(string(id), elsewhere)), ":first": text(first), ":end": text(end)},
			ConsistentRead:            new(true),
		})
		for pages.HasMorePages() {
			page, err := nextPage(ctx, pages)
			if err != nil {
				yield(latch.Entry{}, fmt.Errorf("read audit of %s: %w", cmp.Or(string(id), elsewhere), err))
				return
			}
			for _, item := range page.Items {
				if expired(item) {
					continue
				}
				var e latch.Entry
				if err := decode(item, &e); err != nil {
					yield(latch.Entry{}, fmt.Errorf("read audit of %s: %w", cmp.Or(string(id), elsewhere), err))
					return
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func nextPage(ctx context.Context, pages *dynamodb.QueryPaginator) (*dynamodb.QueryOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	page, err := pages.NextPage(ctx)
	if err != nil {
		return nil, service.Translate(err)
	}
	return page, nil
}

// expired is true for an item that DynamoDB has yet to delete.
func expired(item map[string]types.AttributeValue) bool {
	at, err := strconv.ParseInt(numberOf(item["expires"]), 10, 64)
	return err == nil && time.Now().Unix() >= at
}

// get decodes one item into the value that into points to, and leaves it alone when there is no item.
func (s *Store) get(ctx context.Context, id latch.EndpointID, sk string, consistent bool, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	item, err := s.item(ctx, key(id, sk), consistent)
	if err != nil || item == nil {
		return err
	}
	return decode(item, into)
}

// item reads one item; nil when there is none.
func (s *Store) item(ctx context.Context, key map[string]types.AttributeValue, consistent bool) (map[string]types.AttributeValue, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: new(s.table), Key: key, ConsistentRead: new(consistent)})
	if err != nil {
		return nil, service.Translate(err)
	}
	return out.Item, nil
}

// put writes item where there is none (if fresh), or where the stored one satisfies replace and has no newer layout.
// Otherwise it writes nothing and returns the item that stands in the way.
func (s *Store) put(ctx context.Context, item map[string]types.AttributeValue, replace string, values map[string]types.AttributeValue, fresh bool) (map[string]types.AttributeValue, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	in := &dynamodb.PutItemInput{
		TableName: new(s.table), Item: item,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	var condition string
	if replace != "" {
		condition = "(" + replace + " AND #v <= :layout)"
		values[":layout"] = number(layout)
		in.ExpressionAttributeValues = values
		// Names by reference: AT is a reserved word of DynamoDB, and there are more each year.
		in.ExpressionAttributeNames = map[string]string{"#v": "v"}
		for _, name := range []string{"version", "at"} {
			if _, ok := item[name]; ok {
				in.ExpressionAttributeNames["#"+name] = name
			}
		}
	}
	if fresh {
		if condition != "" {
			condition = " OR " + condition
		}
		condition = "attribute_not_exists(pk)" + condition
	}
	in.ConditionExpression = &condition
	_, err := s.client.PutItem(ctx, in)
	if lost, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		there := lost.Item
		if there == nil {
			// The condition named an item and there is none; or the service does not return it, as some emulators do not.
			if there, err = s.item(ctx, map[string]types.AttributeValue{"pk": item["pk"], "sk": item["sk"]}, true); err != nil {
				return nil, err
			}
		}
		if err := checkLayout(there); err != nil {
			return nil, err
		}
		if there == nil {
			return map[string]types.AttributeValue{"version": number(0)}, nil
		}
		return there, nil
	}
	if err != nil {
		return nil, service.Translate(err)
	}
	return nil, nil
}

func key(id latch.EndpointID, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(string(id)), "sk": text(sk)}
}

func newItem(id latch.EndpointID, sk string, value any) (map[string]types.AttributeValue, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode %s of %s: %w", sk, id, err)
	}
	item := key(id, sk)
	item["v"] = number(layout)
	if len(body) <= packAbove {
		item["body"] = text(string(body))
		return item, nil
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(body) // a bytes.Buffer takes everything
	z.Close()
	item["packed"] = &types.AttributeValueMemberB{Value: packed.Bytes()}
	return item, nil
}

// bodyOf is the item's JSON, from whichever attribute holds it.
func bodyOf(item map[string]types.AttributeValue) ([]byte, error) {
	packed, ok := item["packed"].(*types.AttributeValueMemberB)
	if !ok {
		return []byte(textOf(item["body"])), nil
	}
	z, err := gzip.NewReader(bytes.NewReader(packed.Value))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, unpackTo))
}

func sameBody(a, b map[string]types.AttributeValue) bool {
	x, errX := bodyOf(a)
	y, errY := bodyOf(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// checkLayout refuses an item that this program cannot understand.
func checkLayout(item map[string]types.AttributeValue) error {
	if item == nil {
		return nil
	}
	v, err := strconv.Atoi(numberOf(item["v"]))
	if err != nil {
		return fmt.Errorf("%w: item %s is not Nightlatch's: it has no layout number. Check the table's name", latch.ErrRefused, textOf(item["sk"]))
	}
	if v > layout {
		return fmt.Errorf("%w: item %s has layout %d and this program knows %d: a newer Nightlatch wrote it. Update this one", latch.ErrRefused, textOf(item["sk"]), v, layout)
	}
	return nil
}

func decode(item map[string]types.AttributeValue, into any) error {
	if err := checkLayout(item); err != nil {
		return err
	}
	body, err := bodyOf(item)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return fmt.Errorf("%w: item %s is damaged: %w", latch.ErrRefused, textOf(item["sk"]), err)
	}
	return nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// textOf is the attribute's string, empty when it is none.
func textOf(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func numberOf(v types.AttributeValue) string {
	if n, ok := v.(*types.AttributeValueMemberN); ok {
		return n.Value
	}
	return ""
}
