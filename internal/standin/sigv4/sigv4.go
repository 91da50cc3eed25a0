// Package sigv4 is AWS Signature Version 4 for the stand-ins: Verify for those that are called, Sign for those that
// call on a role's behalf (the scheduler, the load balancer). It is written from the specification and shares nothing
// with the AWS SDK, so that the product's signatures are checked by other hands.
//
// Source: "AWS Signature Version 4 for API requests", IAM User Guide, reference_sigv-create-signed-request.
// Presigned URLs, chunked payloads and Signature Version 4A are not spoken: no client of the stand-ins uses them.
package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	// defaultSkew is how far X-Amz-Date may be from now; AWS documents five minutes for most services.
	defaultSkew = 5 * time.Minute
)

// Credentials is an access key. SessionToken is empty for a long-term key.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
}

// Code says what is wrong with a signature, in the words that AWS services use for their error codes. Each protocol
// maps it to its own spelling: EC2's Query API, for one, says AuthFailure for most of them.
type Code string

// The ways in which a request can be unsigned or wrongly signed.
const (
	MissingAuthenticationToken Code = "MissingAuthenticationToken" // no Authorization header
	IncompleteSignature        Code = "IncompleteSignature"        // a malformed Authorization header, or a part missing
	UnrecognizedClient         Code = "UnrecognizedClient"         // an access key or session token nobody knows
	SignatureDoesNotMatch      Code = "SignatureDoesNotMatch"      // wrong secret, altered request, wrong scope
	RequestExpired             Code = "RequestExpired"             // X-Amz-Date too far from now
)

// Error is a refused signature. Message is fit for the caller and holds no secret.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Verifier checks requests for one service in one Region, for example "ec2" in "us-east-1".
type Verifier struct {
	Service, Region string
	// Lookup finds the credentials of an access key id.
	Lookup func(accessKeyID string) (Credentials, bool)
	// Skew is how far X-Amz-Date may be from now, where the service allows another distance than five minutes.
	Skew time.Duration
}

// Verify checks the Authorization header of r, whose body was read into body, and returns the access key id that
// signed it. The error is always a *Error.
func (v Verifier) Verify(r *http.Request, body []byte) (string, error) {
	a, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return "", err
	}
	at, perr := time.Parse(timeFormat, r.Header.Get("X-Amz-Date"))
	if perr != nil {
		return "", &Error{IncompleteSignature, "Authorization header requires existence of an 'X-Amz-Date' header in the form YYYYMMDD'T'HHMMSS'Z'."}
	}
	if want := at.Format("20060102"); a.date != want || a.region != v.Region || a.service != v.Service || a.terminator != "aws4_request" {
		return "", &Error{SignatureDoesNotMatch, fmt.Sprintf("Credential should be scoped to %s/%s/%s/aws4_request.", want, v.Region, v.Service)}
	}
	if d, skew := time.Since(at), cmp.Or(v.Skew, defaultSkew); d > skew || d < -skew {
		return "", &Error{RequestExpired, "Signature expired: the request's time is too far from the server's time."}
	}
	c, ok := v.Lookup(a.accessKeyID)
	if !ok || c.SessionToken != r.Header.Get("X-Amz-Security-Token") {
		return "", &Error{UnrecognizedClient, "The security token included in the request is invalid."}
	}
	for _, must := range []string{"host", "x-amz-date"} {
		if !slices.Contains(a.signedHeaders, must) {
			return "", &Error{IncompleteSignature, "'" + must + "' must be a signed header."}
		}
	}
	for name := range r.Header {
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz-") && !slices.Contains(a.signedHeaders, n) {
			return "", &Error{SignatureDoesNotMatch, "There were headers present in the request which were not signed: " + n + "."}
		}
	}
	if declared := r.Header.Get("X-Amz-Content-Sha256"); declared != "" && declared != hexHash(body) {
		return "", &Error{SignatureDoesNotMatch, "The provided x-amz-content-sha256 header does not match what was computed."}
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil { // URL.Query would leave the bad part out, unsigned
		return "", &Error{SignatureDoesNotMatch, "The query string is malformed."}
	}
	want := signature(r, body, c.SecretAccessKey, v.Service, v.Region, at, a.signedHeaders)
	if !hmac.Equal([]byte(want), []byte(a.signature)) {
		return "", &Error{SignatureDoesNotMatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."}
	}
	return a.accessKeyID, nil
}

// Sign adds X-Amz-Date, X-Amz-Security-Token where there is one, and Authorization to r, for a body already set.
func Sign(r *http.Request, body []byte, c Credentials, service, region string, at time.Time) {
	at = at.UTC()
	r.Header.Set("X-Amz-Date", at.Format(timeFormat))
	r.Header.Del("X-Amz-Security-Token")
	if c.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken)
	}
	names := []string{"host"}
	for name := range r.Header {
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz-") || n == "content-type" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	sum := signature(r, body, c.SecretAccessKey, service, region, at, names)
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		algorithm, c.AccessKeyID, scope(at, region, service), strings.Join(names, ";"), sum))
}

type authorization struct {
	accessKeyID, date, region, service, terminator string
	signedHeaders                                  []string
	signature                                      string
}

func parseAuthorization(header string) (authorization, error) {
	if header == "" {
		return authorization{}, &Error{MissingAuthenticationToken, "Request is missing Authentication Token."}
	}
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return authorization{}, &Error{IncompleteSignature, "Authorization header must start with " + algorithm + "."}
	}
	parts := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || parts["SignedHeaders"] == "" || parts["Signature"] == "" {
		return authorization{}, &Error{IncompleteSignature, "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters."}
	}
	return authorization{scope[0], scope[1], scope[2], scope[3], scope[4],
		strings.Split(parts["SignedHeaders"], ";"), parts["Signature"]}, nil
}

func signature(r *http.Request, body []byte, secret, service, region string, at time.Time, signed []string) string {
	toSign := strings.Join([]string{algorithm, at.Format(timeFormat), scope(at, region, service), hexHash([]byte(canonical(r, body, signed)))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{at.Format("20060102"), region, service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func scope(at time.Time, region, service string) string {
	return at.Format("20060102") + "/" + region + "/" + service + "/aws4_request"
}

// canonical builds the canonical request. The path is URI-encoded once more, as every service but S3 wants it.
func canonical(r *http.Request, body []byte, signed []string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n")
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	b.WriteString(encode(path, true) + "\n")
	// Sorted by name first: "a" comes before "a.1", although "a=" would come after "a.1=".
	var pairs [][2]string
	for name, values := range r.URL.Query() {
		for _, value := range values {
			pairs = append(pairs, [2]string{encode(name, false), encode(value, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for i, pair := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pair[0] + "=" + pair[1])
	}
	b.WriteByte('\n')
	for _, name := range signed {
		var value string
		switch name {
		case "host":
			value = r.Host
			if value == "" {
				value = r.URL.Host
			}
		case "content-length": // the server's net/http keeps it apart from the headers
			value = fmt.Sprint(r.ContentLength)
		default:
			value = strings.Join(trimmed(r.Header.Values(name)), ",")
		}
		b.WriteString(name + ":" + value + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + hexHash(body))
	return b.String()
}

func trimmed(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.Join(strings.Fields(v), " ")
	}
	return out
}

// encode is RFC 3986 percent-encoding of everything but the unreserved characters, and "/" in a path.
func encode(s string, path bool) string {
	e := strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	e = strings.ReplaceAll(e, "%7E", "~")
	if path {
		e = strings.ReplaceAll(e, "%2F", "/")
	}
	return e
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
