package dynamodb

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Limits of "Quotas in Amazon DynamoDB", Developer Guide.
const (
	itemBytes      = 400 << 10
	partitionBytes = 2048
	sortBytes      = 1024
	pageBytes      = 1 << 20
	maxDepth       = 32
	maxTables      = 2500 // per Region
	maxCreating    = 500  // at a time
)

// staleFor is how long a read may lag; "Consistency across all copies of the data is usually reached within a second",
// says the guide of SimpleDB, DynamoDB's elder. DynamoDB's own says "after a short time".
const staleFor = time.Second

type attributeDefinition struct{ AttributeName, AttributeType string }

type keySchemaElement struct{ AttributeName, KeyType string }

// keyAttribute is a key's name and type.
type keyAttribute struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// table is one table. Its items lie under the text of their key.
type table struct {
	name    string
	id      string
	created time.Time
	active  time.Time      // when it is no longer CREATING
	keys    []keyAttribute // partition, then sort if there is one
	items   map[string]item
	// stale holds what was there before the last write of an item, until staleFor has passed.
	stale map[string]past
}

// past is an item as it was until then; nil is none.
type past struct {
	item  item
	until time.Time
}

// savedTable is a table in the state file.
type savedTable struct {
	Name    string         `json:"name"`
	ID      string         `json:"id"`
	Created time.Time      `json:"created"`
	Keys    []keyAttribute `json:"keys"`
	Items   []item         `json:"items"`
}

func (t savedTable) table() *table {
	out := &table{name: t.Name, id: t.ID, created: t.Created, keys: t.Keys, items: map[string]item{}}
	for _, it := range t.Items {
		out.items[out.keyText(it)] = it
	}
	return out
}

func (t *table) saved() savedTable {
	out := savedTable{t.name, t.id, t.created, t.keys, []item{}}
	for _, key := range slices.Sorted(maps.Keys(t.items)) {
		out.Items = append(out.Items, t.items[key])
	}
	return out
}

// keyText is a text that two items share exactly when their keys are equal.
func (t *table) keyText(it item) string {
	text := ""
	for _, k := range t.keys {
		text += strconv.Quote(it[k.Name].text)
	}
	return text
}

func (t *table) key(it item) item {
	out := item{}
	for _, k := range t.keys {
		out[k.Name] = it[k.Name]
	}
	return out
}

// checkKey wants exactly the key attributes, each of its type. The message is that of the parameter's own operation.
func (t *table) checkKey(key item, mismatch string) error {
	if len(key) != len(t.keys) {
		return validation(mismatch)
	}
	for _, k := range t.keys {
		if v, ok := key[k.Name]; !ok || v.typ != k.Type {
			return validation(mismatch)
		}
	}
	return t.checkKeyValues(key)
}

func (t *table) checkKeyValues(it item) error {
	for i, k := range t.keys {
		v, limit, what := it[k.Name], partitionBytes, "hashkey"
		if i == 1 {
			limit, what = sortBytes, "rangekey"
		}
		if v.text == "" {
			return validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty " +
				map[string]string{tS: "string", tB: "binary"}[v.typ] + " value. Key: " + k.Name)
		}
		if len(v.text) > limit {
			return validation(fmt.Sprintf("One or more parameter values were invalid: Size of %s has exceeded the maximum size limit of %d bytes", what, limit))
		}
	}
	return nil
}

var tableNames = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func tableName(name string) error {
	if name == "" {
		return validation("1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	}
	if !tableNames.MatchString(name) {
		return validation("1 validation error detected: Value '" + name + "' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+ and have length between 3 and 255")
	}
	return nil
}

// table finds one whose items can be used; the caller holds mu.
func (s *Server) table(name string) (*table, error) {
	if t := s.tables[name]; t != nil && !t.creating() {
		return t, nil
	}
	return nil, refused("ResourceNotFoundException", "Requested resource not found")
}

type createTableInput struct {
	TableName            string
	AttributeDefinitions []attributeDefinition
	KeySchema            []keySchemaElement
	BillingMode          string
}

func (s *Server) createTable(in createTableInput) (any, error) {
	if err := tableName(in.TableName); err != nil { // New calls this, too
		return nil, err
	}
	if in.BillingMode != "PAY_PER_REQUEST" {
		return nil, validation("the stand-in makes tables with BillingMode PAY_PER_REQUEST only")
	}
	if len(in.KeySchema) < 1 || len(in.KeySchema) > 2 || in.KeySchema[0].KeyType != "HASH" {
		return nil, validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type, or there are not one or two of them")
	}
	if len(in.KeySchema) == 2 && (in.KeySchema[1].KeyType != "RANGE" || in.KeySchema[1].AttributeName == in.KeySchema[0].AttributeName) {
		return nil, validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type of another attribute")
	}
	if len(in.AttributeDefinitions) != len(in.KeySchema) {
		return nil, validation("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	now := time.Now()
	t := &table{name: in.TableName, id: id(), created: now.UTC().Truncate(time.Millisecond), active: now.Add(s.cfg.CreateTakes), items: map[string]item{}}
	for _, k := range in.KeySchema {
		i := slices.IndexFunc(in.AttributeDefinitions, func(d attributeDefinition) bool { return d.AttributeName == k.AttributeName })
		if i < 0 || k.AttributeName == "" || len(k.AttributeName) > 255 {
			return nil, validation("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Key: [" + k.AttributeName + "]")
		}
		typ := in.AttributeDefinitions[i].AttributeType
		if !ordered(typ) {
			return nil, validation("1 validation error detected: Value '" + typ + "' at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]")
		}
		t.keys = append(t.keys, keyAttribute{k.AttributeName, typ})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[t.name] != nil {
		return nil, refused("ResourceInUseException", "Table already exists: "+t.name)
	}
	creating := 0
	for _, other := range s.tables {
		if other.creating() {
			creating++
		}
	}
	switch {
	case creating >= maxCreating:
		return nil, refused("LimitExceededException", fmt.Sprintf("Subscriber limit exceeded: Only %d tables can be created, updated, or deleted simultaneously", maxCreating))
	case len(s.tables) >= maxTables:
		return nil, refused("LimitExceededException", fmt.Sprintf("Subscriber limit exceeded: There is a limit of %d tables per Region", maxTables))
	}
	s.tables[t.name] = t
	if err := s.save(func() { delete(s.tables, t.name) }); err != nil {
		return nil, err
	}
	return map[string]any{"TableDescription": s.description(t)}, nil
}

func (t *table) creating() bool { return time.Now().Before(t.active) }

// show is the items as a read sees them; the caller holds mu.
func (s *Server) show(t *table, consistent bool) map[string]item {
	if consistent || !s.cfg.Unconfirmed.StaleReads {
		return t.items
	}
	shown := maps.Clone(t.items)
	for key, was := range t.stale {
		switch {
		case !time.Now().Before(was.until): // the copies agree again
		case was.item == nil:
			delete(shown, key)
		default:
			shown[key] = was.item
		}
	}
	return shown
}

// wrote remembers for show what a write has replaced.
func (t *table) wrote(key string, old item) {
	now := time.Now()
	maps.DeleteFunc(t.stale, func(_ string, was past) bool { return !now.Before(was.until) })
	if t.stale == nil {
		t.stale = map[string]past{}
	}
	t.stale[key] = past{old, now.Add(staleFor)}
}

type describeTableInput struct{ TableName string }

func (s *Server) describeTable(in describeTableInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[in.TableName]
	if t == nil {
		return nil, refused("ResourceNotFoundException", "Requested resource not found: Table: "+in.TableName+" not found")
	}
	return map[string]any{"Table": s.description(t)}, nil
}

// description is TableDescription; the caller holds mu.
func (s *Server) description(t *table) any {
	var schema []keySchemaElement
	var definitions []attributeDefinition
	for i, k := range t.keys {
		schema = append(schema, keySchemaElement{k.Name, []string{"HASH", "RANGE"}[i]})
		definitions = append(definitions, attributeDefinition{k.Name, k.Type})
	}
	size := 0
	for _, it := range t.items {
		size += it.bytes()
	}
	created := float64(t.created.UnixMilli()) / 1000
	status := "ACTIVE"
	if t.creating() {
		status = "CREATING"
	}
	return map[string]any{
		"TableName": t.name, "TableId": t.id, "TableStatus": status, "CreationDateTime": created, "TableArn": s.arn(t.name),
		"KeySchema": schema, "AttributeDefinitions": definitions, "ItemCount": len(t.items), "TableSizeBytes": size,
		"BillingModeSummary":        map[string]any{"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": created},
		"ProvisionedThroughput":     map[string]any{"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
		"DeletionProtectionEnabled": false,
	}
}

func (s *Server) arn(table string) string {
	return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", s.cfg.Region, s.cfg.AccountID, table)
}

type listTablesInput struct {
	ExclusiveStartTableName string
	Limit                   *int
}

func (s *Server) listTables(in listTablesInput) (any, error) {
	limit := 100
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > 100 {
			return nil, validation(fmt.Sprintf("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must be between 1 and 100", limit))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		if name > in.ExclusiveStartTableName {
			names = append(names, name)
		}
	}
	if len(names) > limit {
		return map[string]any{"TableNames": names[:limit], "LastEvaluatedTableName": names[limit-1]}, nil
	}
	return map[string]any{"TableNames": names}, nil
}

type getItemInput struct {
	TableName      string
	Key            item
	ConsistentRead bool
}

func (s *Server) getItem(in getItemInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	if err := t.checkKey(in.Key, "The provided key element does not match the schema"); err != nil {
		return nil, err
	}
	out := map[string]any{}
	if it, ok := s.show(t, in.ConsistentRead)[t.keyText(in.Key)]; ok {
		out["Item"] = it
	}
	return out, nil
}

// condition is what PutItem and DeleteItem have in common.
type condition struct {
	ConditionExpression                 *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]value
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
}

type putItemInput struct {
	TableName string
	Item      item
	condition
}

func (s *Server) putItem(in putItemInput) (any, error) {
	if in.Item == nil {
		return nil, validation("1 validation error detected: Value null at 'item' failed to satisfy constraint: Member must not be null")
	}
	return s.write(in.TableName, in.condition, func(t *table) (string, item, error) {
		for _, k := range t.keys {
			v, ok := in.Item[k.Name]
			if !ok {
				return "", nil, validation("One or more parameter values were invalid: Missing the key " + k.Name + " in the item")
			}
			if v.typ != k.Type {
				return "", nil, validation(fmt.Sprintf("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", k.Name, k.Type, v.typ))
			}
		}
		if err := t.checkKeyValues(in.Item); err != nil {
			return "", nil, err
		}
		if in.Item.bytes() > itemBytes {
			return "", nil, validation("Item size has exceeded the maximum allowed size")
		}
		for _, v := range in.Item {
			if v.depth() > maxDepth {
				return "", nil, validation("Nesting Levels have exceeded supported limits")
			}
		}
		return t.keyText(in.Item), in.Item, nil
	})
}

type deleteItemInput struct {
	TableName string
	Key       item
	condition
}

func (s *Server) deleteItem(in deleteItemInput) (any, error) {
	return s.write(in.TableName, in.condition, func(t *table) (string, item, error) {
		err := t.checkKey(in.Key, "The provided key element does not match the schema")
		return t.keyText(in.Key), nil, err
	})
}

// write puts what next returns under its key if the condition holds for what is there now; nil deletes. The check and
// the write are one step for every other caller.
func (s *Server) write(name string, c condition, next func(*table) (string, item, error)) (any, error) {
	if c.ReturnValues != "" && c.ReturnValues != "NONE" && c.ReturnValues != "ALL_OLD" {
		return nil, validation("ReturnValues can only be ALL_OLD or NONE")
	}
	if r := c.ReturnValuesOnConditionCheckFailure; r != "" && r != "NONE" && r != "ALL_OLD" {
		return nil, validation("1 validation error detected: Value '" + r + "' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, NONE]")
	}
	scope, err := newScope(c.ExpressionAttributeNames, c.ExpressionAttributeValues, c.ConditionExpression != nil)
	if err != nil {
		return nil, err
	}
	var must *node
	if c.ConditionExpression != nil {
		if must, err = scope.parse("ConditionExpression", *c.ConditionExpression); err != nil {
			return nil, err
		}
	}
	if err := scope.unused(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(name)
	if err != nil {
		return nil, err
	}
	key, it, err := next(t)
	if err != nil {
		return nil, err
	}
	old, existed := t.items[key]
	if must != nil && !must.holds(old) {
		e := &apiError{400, awsNamespace + "ConditionalCheckFailedException", "The conditional request failed", nil}
		if existed && c.ReturnValuesOnConditionCheckFailure == "ALL_OLD" {
			e.more = map[string]any{"Item": old}
		}
		return nil, e
	}
	if it != nil || existed {
		restore := func() { t.items[key] = old }
		if !existed {
			restore = func() { delete(t.items, key) }
		}
		if it != nil {
			t.items[key] = it
		} else {
			delete(t.items, key)
		}
		if err := s.save(restore); err != nil {
			return nil, err
		}
		t.wrote(key, old)
	}
	out := map[string]any{}
	if existed && c.ReturnValues == "ALL_OLD" {
		out["Attributes"] = old
	}
	return out, nil
}

type queryInput struct {
	TableName                 string
	KeyConditionExpression    *string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]value
	ConsistentRead            bool
	ScanIndexForward          *bool
	Limit                     *int
	ExclusiveStartKey         item
}

func (s *Server) query(in queryInput) (any, error) {
	if in.KeyConditionExpression == nil {
		return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	if in.Limit != nil && *in.Limit < 1 {
		return nil, validation(fmt.Sprintf("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *in.Limit))
	}
	scope, err := newScope(in.ExpressionAttributeNames, in.ExpressionAttributeValues, true)
	if err != nil {
		return nil, err
	}
	where, err := scope.parse("KeyConditionExpression", *in.KeyConditionExpression)
	if err != nil {
		return nil, err
	}
	if err := scope.unused(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	if err := t.checkKeyCondition(where); err != nil {
		return nil, err
	}
	if in.ExclusiveStartKey != nil {
		if err := t.checkKey(in.ExclusiveStartKey, "The provided starting key is invalid: The provided key element does not match the schema"); err != nil {
			return nil, err
		}
		if !where.partitionOnly(t.keys[0].Name).holds(in.ExclusiveStartKey) {
			return nil, validation("The provided starting key is outside query boundaries based on provided conditions")
		}
	}
	direction := 1
	if in.ScanIndexForward != nil && !*in.ScanIndexForward {
		direction = -1
	}
	order := func(a, b item) int {
		if len(t.keys) < 2 {
			return 0 // one item at most
		}
		return direction * compare(a[t.keys[1].Name], b[t.keys[1].Name])
	}
	var found []item
	for _, it := range s.show(t, in.ConsistentRead) {
		if where.holds(it) && (in.ExclusiveStartKey == nil || len(t.keys) == 2 && order(it, in.ExclusiveStartKey) > 0) {
			found = append(found, it)
		}
	}
	slices.SortFunc(found, order)

	page, size, more := []item{}, 0, false
	for _, it := range found {
		size += it.bytes()
		if len(page) > 0 && size > pageBytes {
			more = true
			break
		}
		page = append(page, it)
		// DynamoDB stops at the limit without looking whether anything follows.
		if in.Limit != nil && len(page) == *in.Limit {
			more = true
			break
		}
	}
	out := map[string]any{"Items": page, "Count": len(page), "ScannedCount": len(page)}
	if more {
		out["LastEvaluatedKey"] = t.key(page[len(page)-1])
	}
	return out, nil
}

// keyPart is one comparison of a key condition, turned so that the attribute is on the left.
type keyPart struct {
	*node
	name string
}

// keyParts flattens a key condition into its comparisons; an error names what a key condition cannot be.
func (n *node) keyParts() ([]keyPart, error) {
	invalid := func(what string) error {
		return validation("Invalid operator used in KeyConditionExpression: " + what)
	}
	switch n.kind {
	case nAnd:
		left, err := n.args[0].keyParts()
		if err != nil {
			return nil, err
		}
		right, err := n.args[1].keyParts()
		return append(left, right...), err
	case nOr, nNot, nIn:
		return nil, invalid(n.op)
	case nFunction:
		if n.op != "begins_with" {
			return nil, invalid(n.op)
		}
	case nCompare:
		if n.op == "<>" {
			return nil, invalid(n.op)
		}
		if n.args[0].kind == nValue && n.args[1].kind == nPath { // ":v < sk" is "sk > :v"
			turned := map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[n.op]
			n = &node{kind: nCompare, op: turned, args: []*node{n.args[1], n.args[0]}}
		}
	}
	if p := n.args[0]; p.kind != nPath || len(p.path) != 1 {
		return nil, validation("Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes, and need one attribute and placeholder values in each condition")
	}
	for _, a := range n.args[1:] {
		if a.kind != nValue {
			return nil, validation("Invalid KeyConditionExpression: The second operand of a key condition must be a placeholder value")
		}
	}
	return []keyPart{{n, n.args[0].path[0].name}}, nil
}

// checkKeyCondition wants an equality on the partition key and at most one condition on the sort key, each with a
// value of the key's type.
func (t *table) checkKeyCondition(where *node) error {
	parts, err := where.keyParts()
	if err != nil {
		return err
	}
	if len(parts) > 2 {
		return validation("Conditions can be of length 1 or 2 only")
	}
	if len(parts) == 2 && parts[0].name == parts[1].name {
		return validation("KeyConditionExpressions must only contain one condition per key")
	}
	if !slices.ContainsFunc(parts, func(p keyPart) bool { return p.isFor(t.keys[0]) }) {
		return validation("Query condition missed key schema element: " + t.keys[0].Name)
	}
	for _, p := range parts {
		i := slices.IndexFunc(t.keys, p.isFor)
		if i < 0 {
			missed := "Query key condition not supported"
			if len(t.keys) == 2 {
				missed = "Query condition missed key schema element: " + t.keys[1].Name
			}
			return validation(missed)
		}
		if i == 0 && (p.kind != nCompare || p.op != "=") {
			return validation("Query key condition not supported")
		}
		for _, a := range p.args[1:] {
			if a.value.typ != t.keys[i].Type {
				return validation("One or more parameter values were invalid: Condition parameter type does not match schema type")
			}
			if a.value.text == "" {
				return validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: " + p.name)
			}
		}
	}
	return nil
}

func (p keyPart) isFor(k keyAttribute) bool { return p.name == k.Name }

// partitionOnly is the comparison of a checked key condition that speaks of the partition key.
func (n *node) partitionOnly(name string) *node {
	parts, _ := n.keyParts() // checked before
	return parts[slices.IndexFunc(parts, func(p keyPart) bool { return p.name == name })].node
}
