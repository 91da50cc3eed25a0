package deploy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/standin/cloudformation"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/sts"
)

const (
	region  = "eu-central-1"
	number  = "111122223333"
	ownName = "nightlatch-111122223333-eu-central-1-nightlatch"

	settings = `region: eu-central-1
endpoints:
  - {name: office, id: cvpn-endpoint-0a, subnets: [subnet-0a]}
deploy:
  domain: vpn.example.com
  hosted_zone: Z0123456789ABC
  load_balancer: {vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}
  user_pool: {prefix: example-vpn}
`
)

var operator = sigv4.Credentials{AccessKeyID: "AKIAOPERATOR", SecretAccessKey: "secret"}

// account is an AWS account of stand-ins. Its CloudFormation makes nothing: what is tried here is what the driver says and
// does, and that it goes on where it stopped, and nothing about AWS's resources.
type account struct {
	*cloudformation.Server
	buckets *buckets
	url     string

	mu    sync.Mutex        // guards all below
	fails map[string]string // reasons by logical id and verb
	slow  map[string]time.Duration
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{buckets: &buckets{objects: map[string]map[string][]byte{}}, fails: map[string]string{}, slow: map[string]time.Duration{}}
	keys := func(id string) (sigv4.Credentials, bool) { return operator, id == operator.AccessKeyID }
	var err error
	a.Server, err = cloudformation.New(cloudformation.Config{Region: region, AccountID: number, Credentials: keys, Log: slog.New(slog.DiscardHandler), PageSize: 7,
		Fetch: func(_ context.Context, url string) ([]byte, error) { return a.buckets.fetch(url) },
		Takes: func(id, _ string) time.Duration {
			a.mu.Lock()
			defer a.mu.Unlock()
			return max(time.Millisecond, a.slow[id])
		},
		Fail: func(id, verb string) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if why := a.fails[id+" "+verb]; why != "" {
				return fmt.Errorf("%s", why)
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := sts.New(sts.Config{Region: region, Log: slog.New(slog.DiscardHandler), Keys: []sts.Key{{Credentials: operator, ARN: "arn:aws:iam::" + number + ":user/alice"}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for service, h := range map[string]http.Handler{"cloudformation": a.Handler(), "sts": tokens.Handler(), "s3": a.buckets, "elasticloadbalancing": http.HandlerFunc(balancers)} {
			if strings.Contains(r.Header.Get("Authorization"), "/"+service+"/aws4_request") {
				h.ServeHTTP(w, r)
				return
			}
		}
		http.Error(w, "no such service", http.StatusNotImplemented)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// fail makes a verb fail at a resource; an empty reason lets it succeed again.
func (a *account) fail(id, verb, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fails[id+" "+verb] = why
}

// told is what a driver told.
type told struct {
	mu     sync.Mutex
	lines  []string
	events []deploy.Event
	seen   func(deploy.Event)
}

func (o *told) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

func (a *account) driver(t *testing.T, text string) (*deploy.Driver, *told) {
	t.Helper()
	c, err := config.Parse("nightlatch.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out := &told{}
	d, err := deploy.New(deploy.Config{Settings: c, Every: 5 * time.Millisecond,
		AWS: aws.Config{Region: region, BaseEndpoint: &a.url, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: operator.AccessKeyID, SecretAccessKey: operator.SecretAccessKey}, nil
		})},
		Say: func(line string) {
			out.mu.Lock()
			defer out.mu.Unlock()
			out.lines = append(out.lines, line)
		},
		Tell: func(e deploy.Event) {
			out.mu.Lock()
			out.events = append(out.events, e)
			seen := out.seen
			out.mu.Unlock()
			if seen != nil {
				seen(e)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	return d, out
}

// program is any.
func program(content string) *deploy.Program {
	return &deploy.Program{Zip: []byte(content), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(content)))}
}

// agreed is an order that somebody agrees to; shown is what they were shown.
func agreed(p *deploy.Program, w deploy.Wishes, shown *deploy.Changes) deploy.Order {
	return deploy.Order{Program: p, Wishes: w, Agree: func() error { return nil }, Show: func(c *deploy.Changes) {
		if shown != nil {
			*shown = *c
		}
	}}
}

// balancers knows one listener.
func balancers(w http.ResponseWriter, r *http.Request) {
	body := ""
	switch r.FormValue("Action") {
	case "DescribeListeners":
		body = "<Listeners><member><Protocol>HTTPS</Protocol><LoadBalancerArn>" + r.FormValue("ListenerArns.member.1") + "-lb</LoadBalancerArn></member></Listeners>"
	case "DescribeLoadBalancers":
		if !strings.HasSuffix(r.FormValue("LoadBalancerArns.member.1"), "-lb") {
			http.Error(w, "which?", http.StatusBadRequest)
			return
		}
		body = "<LoadBalancers><member><DNSName>internal-1.eu-central-1.elb.amazonaws.com</DNSName><CanonicalHostedZoneId>Z215JYRZR1TBD5</CanonicalHostedZoneId></member></LoadBalancers>"
	}
	if r.FormValue("Action") == "DescribeLoadBalancerAttributes" {
		body = fmt.Sprintf("<Attributes><member><Key>idle_timeout.timeout_seconds</Key><Value>60</Value></member><member><Key>deletion_protection.enabled</Key><Value>%t</Value></member></Attributes>",
			strings.Contains(r.FormValue("LoadBalancerArn"), "protected"))
	}
	a := r.FormValue("Action")
	fmt.Fprintf(w, `<%sResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><%sResult>%s</%sResult></%sResponse>`, a, a, body, a, a)
}

// buckets are as much of Amazon S3 as the driver has need of (REST API of 2006-03-01, path-style).
type buckets struct {
	mu      sync.Mutex
	objects map[string]map[string][]byte // by bucket and key
	foreign string                       // a bucket of another account's
	set     []string                     // what was configured, and what was put
}

func (b *buckets) fetch(url string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	host, key, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	name, _, _ := strings.Cut(host, ".")
	if body := b.objects[name][key]; body != nil {
		return body, nil
	}
	return nil, fmt.Errorf("NoSuchKey: %s", url)
}

func (b *buckets) puts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.set)
}

func (b *buckets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	raw, _ := io.ReadAll(r.Body)
	no := func(status int, code string) {
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
		}
	}
	create := r.Method == http.MethodPut && key == "" && r.URL.RawQuery == ""
	if owner := r.Header.Get("X-Amz-Expected-Bucket-Owner"); !create && owner != number {
		no(http.StatusForbidden, "AccessDenied") // every call must name the owner
		return
	}
	bucket, there := b.objects[name]
	switch {
	case name == b.foreign && create:
		no(http.StatusConflict, "BucketAlreadyExists")
	case name == b.foreign:
		no(http.StatusForbidden, "AccessDenied")
	case create:
		if !bytes.Contains(raw, []byte(region)) || r.Header.Get("X-Amz-Object-Ownership") != "BucketOwnerEnforced" {
			no(http.StatusBadRequest, "IllegalLocationConstraintException")
			return
		}
		b.objects[name] = map[string][]byte{}
		b.set = append(b.set, "bucket "+name)
	case !there:
		no(http.StatusNotFound, "NoSuchBucket")
	case r.Method == http.MethodPut && key == "":
		what, _, _ := strings.Cut(r.URL.RawQuery, "=")
		b.set = append(b.set, what+" "+string(raw))
	case r.Method == http.MethodPut:
		sum := sha256.Sum256(raw)
		if r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
			no(http.StatusBadRequest, "BadDigest")
			return
		}
		bucket[key] = raw
		b.set = append(b.set, "put "+key)
	case r.Method == http.MethodHead && key == "":
		w.Header().Set("X-Amz-Bucket-Region", region)
	case r.Method == http.MethodHead && bucket[key] == nil:
		no(http.StatusNotFound, "NoSuchKey")
	case r.Method == http.MethodHead:
		sum := sha256.Sum256(bucket[key])
		w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	case r.Method == http.MethodGet && key == "":
		var out struct {
			XMLName  xml.Name `xml:"ListBucketResult"`
			Contents []struct{ Key string }
		}
		for k := range bucket {
			if strings.HasPrefix(k, r.URL.Query().Get("prefix")) {
				out.Contents = append(out.Contents, struct{ Key string }{k})
			}
		}
		xml.NewEncoder(w).Encode(out)
	case r.Method == http.MethodDelete && key != "":
		delete(bucket, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete && len(bucket) > 0:
		no(http.StatusConflict, "BucketNotEmpty")
	case r.Method == http.MethodDelete:
		delete(b.objects, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		no(http.StatusNotImplemented, "NotImplemented")
	}
}
