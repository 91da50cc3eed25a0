// Package dynamodb is a stand-in for Amazon DynamoDB: the few operations Nightlatch calls, each whole, over the real
// protocol (JSON 1.0, Signature Version 4, CRC-32), with its tables in one state file.
//
// Spoken: CreateTable, DescribeTable, ListTables, GetItem, PutItem, DeleteItem and Query, with condition and key
// condition expressions. Every read is strongly consistent, unless Unconfirmed.StaleReads. Anything else, be it an
// operation, a parameter or a value of one, is refused with the error DynamoDB gives for what it does not know, and a
// message that says so: nothing is ignored. It has no indexes, no transactions, no throughput and no time to live.
//
// Sources: "Amazon DynamoDB API Reference" and "Developer Guide"; messages are those the service is known to give.
package dynamodb

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/statefile"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

const (
	targetPrefix = "DynamoDB_20120810."
	requestBytes = 16 << 20 // the largest request body DynamoDB reads
)

// Config is what a Server needs. Log and Credentials are required; an empty StateFile keeps everything in memory.
type Config struct {
	Region, AccountID string
	// Credentials finds the secret of an access key.
	Credentials func(accessKeyID string) (sigv4.Credentials, bool)
	// Authorize is IAM: whether a key may do an action, "dynamodb:PutItem", to a resource. The error's text goes to the
	// caller. nil: every key may do everything.
	Authorize func(accessKeyID, action, resource string, context map[string]string) error
	// Tables are made by New where they are missing, as a deployment would have made them.
	Tables    []Table
	StateFile string
	// CreateTakes is how long a new table is CREATING and unknown to everything but DescribeTable and ListTables; at AWS
	// that is some seconds. 0 is not at all. Those of Tables are ACTIVE from the start.
	CreateTakes time.Duration
	// Throttle and Contended are the server's to change once it is made; see Switches and Faults.
	Throttle, Contended bool
	Unconfirmed         Unconfirmed
	Log                 *slog.Logger
}

// Table names a table whose keys are strings. An empty Sort is a table without a sort key.
type Table struct{ Name, Partition, Sort string }

// Server is the stand-in. Its methods may be called from several goroutines.
type Server struct {
	cfg      Config
	verifier sigv4.Verifier
	file     *statefile.File

	mu     sync.Mutex // guards what follows, everything in the tables, and what Switches and Faults flip in cfg
	tables map[string]*table

	throttled, contended, lost switches.Picker
}

// New loads the state file; a file that is not ours is an error and stays as it is.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil || cfg.Credentials == nil {
		return nil, errors.New("dynamodb: Config.Log and Config.Credentials are required")
	}
	s := &Server{
		cfg:      cfg,
		verifier: sigv4.Verifier{Service: "dynamodb", Region: cfg.Region, Lookup: cfg.Credentials},
		file:     statefile.New(cfg.StateFile, "dynamodb"),
		tables:   map[string]*table{},
	}
	var saved state
	if _, err := s.file.Load(&saved); err != nil {
		return nil, err
	}
	for _, t := range saved.Tables {
		s.tables[t.Name] = t.table()
	}
	for _, t := range cfg.Tables {
		if s.tables[t.Name] != nil {
			continue
		}
		in := createTableInput{TableName: t.Name, BillingMode: "PAY_PER_REQUEST",
			KeySchema:            []keySchemaElement{{t.Partition, "HASH"}},
			AttributeDefinitions: []attributeDefinition{{t.Partition, tS}}}
		if t.Sort != "" {
			in.KeySchema = append(in.KeySchema, keySchemaElement{t.Sort, "RANGE"})
			in.AttributeDefinitions = append(in.AttributeDefinitions, attributeDefinition{t.Sort, tS})
		}
		if _, err := s.createTable(in); err != nil {
			return nil, fmt.Errorf("dynamodb: table %s: %w", t.Name, err)
		}
		s.tables[t.Name].active = time.Time{}
	}
	return s, nil
}

// state is what the file holds.
type state struct {
	Tables []savedTable `json:"tables"`
}

// save writes the state; the caller holds mu. When it does not succeed, undo takes the change back, so that no
// caller ever sees what a restart would forget.
func (s *Server) save(undo func()) error {
	if s.cfg.StateFile == "" {
		return nil
	}
	var out state
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		out.Tables = append(out.Tables, s.tables[name].saved())
	}
	if err := s.file.Save(out); err != nil {
		undo()
		s.cfg.Log.Error("state not saved", "from", "dynamodb", "err", err)
		return &apiError{http.StatusInternalServerError, awsNamespace + "InternalServerError", "the stand-in could not save its state file", nil}
	}
	return nil
}

// apiError is an answer that is not the one hoped for.
type apiError struct {
	status  int
	typ     string // with its namespace
	message string
	more    map[string]any // what the error's type has beside its message
}

func (e *apiError) Error() string { return e.typ[strings.IndexByte(e.typ, '#')+1:] + ": " + e.message }

// The namespaces that DynamoDB's error types come in: its own, and those of the framework before it.
const (
	awsNamespace      = "com.amazonaws.dynamodb.v20120810#"
	frameNamespace    = "com.amazon.coral.service#"
	validateNamespace = "com.amazon.coral.validate#"
)

func refused(typ, message string) error { return &apiError{400, awsNamespace + typ, message, nil} }
func validation(message string) error {
	return &apiError{400, validateNamespace + "ValidationException", message, nil}
}
func serialization(message string) error {
	return &apiError{400, frameNamespace + "SerializationException", message, nil}
}

// Handler speaks DynamoDB's protocol on any host.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	status := http.StatusOK
	out, table, err := s.answer(w, r, operation)
	if err != nil {
		e, ok := errors.AsType[*apiError](err)
		if !ok {
			e = &apiError{http.StatusInternalServerError, awsNamespace + "InternalServerError", err.Error(), nil}
		}
		status = e.status
		body := map[string]any{"__type": e.typ, "message": e.message}
		maps.Copy(body, e.more)
		out = body
		// A lost condition is how two writers find out about each other: an answer, not a fault of the caller.
		if !strings.HasSuffix(e.typ, "#ConditionalCheckFailedException") {
			s.cfg.Log.Warn("refused", "to", "dynamodb", "what", operation, "detail", table, "why", e.Error())
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		s.cfg.Log.Error("answer not encoded", "from", "dynamodb", "err", err)
		status, raw = http.StatusInternalServerError, []byte(`{"__type":"`+awsNamespace+`InternalServerError"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("X-Amzn-Requestid", strings.ToUpper(rand.Text()))
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(raw)), 10))
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the caller is gone; nothing is left to tell it
	s.cfg.Log.Info("hop", "to", "dynamodb", "what", operation, "detail", table, "status", status, "took", time.Since(began))
}

// answer checks the request and runs its operation; table is the one it named, for the log.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, operation string) (out any, table string, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytes))
	if err != nil {
		return nil, "", &apiError{http.StatusRequestEntityTooLarge, frameNamespace + "RequestEntityTooLargeException", "the request is cut short or longer than 16 MB", nil}
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" || !strings.HasPrefix(r.Header.Get("X-Amz-Target"), targetPrefix) ||
		r.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
		return nil, "", &apiError{http.StatusNotFound, frameNamespace + "UnknownOperationException",
			"not a DynamoDB request: POST to / with X-Amz-Target " + targetPrefix + "Operation and Content-Type application/x-amz-json-1.0", nil}
	}
	key, err := s.verifier.Verify(r, body)
	if err != nil {
		return nil, "", unsigned(err)
	}
	if err := s.before(operation, body); err != nil {
		return nil, "", err
	}
	if table, err := s.unauthorized(key, operation, body); err != nil {
		return nil, table, err
	}
	if out, table, err = s.operate(operation, body); err == nil {
		err = s.after(operation, body)
	}
	return out, table, err
}

// operations are those that operate knows.
var operations = []string{"CreateTable", "DescribeTable", "ListTables", "GetItem", "PutItem", "DeleteItem", "Query"}

// unauthorized asks IAM about the operation's table. What names no table properly, or is no operation, is left to
// operate to refuse.
func (s *Server) unauthorized(key, operation string, body []byte) (table string, _ error) {
	var in struct{ TableName string }
	_ = json.Unmarshal(body, &in) // operate says what is wrong with it
	resource := s.arn(in.TableName)
	switch {
	case s.cfg.Authorize == nil || !slices.Contains(operations, operation):
		return "", nil
	case operation == "ListTables":
		resource = "*" // it has no resource ("Actions, resources, and condition keys for Amazon DynamoDB")
	case tableName(in.TableName) != nil:
		return "", nil
	}
	if err := s.cfg.Authorize(key, "dynamodb:"+operation, resource, map[string]string{"aws:RequestedRegion": s.cfg.Region}); err != nil {
		return in.TableName, &apiError{400, frameNamespace + "AccessDeniedException", err.Error(), nil}
	}
	return in.TableName, nil
}

func (s *Server) operate(operation string, body []byte) (out any, table string, err error) {
	switch operation {
	case "CreateTable":
		return run(body, s.createTable)
	case "DescribeTable":
		return run(body, s.describeTable)
	case "ListTables":
		return run(body, s.listTables)
	case "GetItem":
		return run(body, s.getItem)
	case "PutItem":
		return run(body, s.putItem)
	case "DeleteItem":
		return run(body, s.deleteItem)
	case "Query":
		return run(body, s.query)
	}
	return nil, "", &apiError{400, frameNamespace + "UnknownOperationException", "the stand-in does not know the operation " + strconv.Quote(operation), nil}
}

// unsigned spells a refused signature as DynamoDB does.
func unsigned(err error) error {
	e, _ := errors.AsType[*sigv4.Error](err)
	typ := map[sigv4.Code]string{
		sigv4.MissingAuthenticationToken: "MissingAuthenticationTokenException",
		sigv4.IncompleteSignature:        "IncompleteSignatureException",
		sigv4.UnrecognizedClient:         "UnrecognizedClientException",
	}[e.Code]
	if typ == "" {
		typ = "InvalidSignatureException"
	}
	return &apiError{400, frameNamespace + typ, e.Message, nil}
}

// run decodes the input of an operation and calls it. A parameter that the input type does not have is refused: the
// real service would either act on it or ignore it, and this one can do neither honestly.
func run[In any](body []byte, do func(In) (any, error)) (any, string, error) {
	var in In
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return nil, "", serialization("the request is not a JSON object")
	}
	known := reflect.TypeFor[In]()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := known.FieldByName(name); !ok {
			return nil, "", validation("the stand-in does not support the parameter " + name)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		if e, ok := errors.AsType[*apiError](err); ok {
			return nil, "", e
		}
		return nil, "", serialization(err.Error())
	}
	name := reflect.ValueOf(in).FieldByName("TableName")
	if !name.IsValid() {
		out, err := do(in)
		return out, "", err
	}
	if err := tableName(name.String()); err != nil {
		return nil, name.String(), err
	}
	out, err := do(in)
	return out, name.String(), err
}

// id is a random UUID, for TableId.
func id() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand no longer fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
