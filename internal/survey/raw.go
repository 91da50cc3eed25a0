package survey

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// Three services are asked one thing each, by their documented wire protocols: for that no SDK module is brought.

// answerMost is far above what these calls answer with.
const answerMost = 4 << 20

// call signs a request and returns the answer's body, or the service's error. It is not repeated.
func (a *Account) call(ctx context.Context, service, signAs, method, path, content, target string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, a.host(service)+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if content != "" {
		r.Header.Set("Content-Type", content)
	}
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	if a.cfg.Credentials == nil {
		return nil, errors.New("no credentials")
	}
	key, err := a.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, key, r, hex.EncodeToString(sum[:]), signAs, a.cfg.Region, time.Now()); err != nil {
		return nil, err
	}
	var client interface {
		Do(*http.Request) (*http.Response, error)
	} = http.DefaultClient
	if a.cfg.HTTPClient != nil {
		client = a.cfg.HTTPClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, failed(service, err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, answerMost))
	if err != nil {
		return nil, failed(service, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, failed(service, wireError(answer, raw))
	}
	return raw, nil
}

// wireError reads an error as JSON or XML has it.
func wireError(answer *http.Response, raw []byte) error {
	var j struct {
		Type  string `json:"__type"`
		Lower string `json:"message"`
		Upper string `json:"Message"`
	}
	var x struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	_ = json.Unmarshal(raw, &j)
	_ = xml.Unmarshal(raw, &x)
	code := cmp.Or(x.Code, j.Type, answer.Header.Get("X-Amzn-Errortype"))
	code, _, _ = strings.Cut(code[strings.LastIndex(code, "#")+1:], ":")
	if code == "" {
		return fmt.Errorf("HTTP status %s", answer.Status)
	}
	return &smithy.GenericAPIError{Code: code, Message: cmp.Or(x.Message, j.Lower, j.Upper)}
}

// QueueLength is about how many messages are in an SQS queue.
func (a *Account) QueueLength(ctx context.Context, queueURL string) (int, error) {
	body, err := json.Marshal(map[string]any{"QueueUrl": queueURL, "AttributeNames": []string{"ApproximateNumberOfMessages"}})
	if err != nil {
		return 0, err
	}
	raw, err := a.call(ctx, "sqs", "sqs", http.MethodPost, "/", "application/x-amz-json-1.0", "AmazonSQS.GetQueueAttributes", body)
	if err != nil {
		return 0, err
	}
	var x struct{ Attributes map[string]string }
	if err := json.Unmarshal(raw, &x); err != nil {
		return 0, fmt.Errorf("sqs: %w", err)
	}
	n, err := strconv.Atoi(x.Attributes["ApproximateNumberOfMessages"])
	if err != nil {
		return 0, errors.New("sqs: the answer has no ApproximateNumberOfMessages")
	}
	return n, nil
}

// Alarm is a CloudWatch alarm.
type Alarm struct{ Name, State, Reason string }

// Alarms reads those of these names; those that are not there are left out.
func (a *Account) Alarms(ctx context.Context, names []string) ([]Alarm, error) {
	form := url.Values{"Action": {"DescribeAlarms"}, "Version": {"2010-08-01"}, "MaxRecords": {"100"}}
	for i, n := range names {
		form.Set(fmt.Sprintf("AlarmNames.member.%d", i+1), n)
	}
	raw, err := a.call(ctx, "monitoring", "monitoring", http.MethodPost, "/", "application/x-www-form-urlencoded", "", []byte(form.Encode()))
	if err != nil {
		return nil, err
	}
	var x struct {
		Alarms []struct {
			Name   string `xml:"AlarmName"`
			State  string `xml:"StateValue"`
			Reason string `xml:"StateReason"`
		} `xml:"DescribeAlarmsResult>MetricAlarms>member"`
	}
	if err := xml.Unmarshal(raw, &x); err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	var alarms []Alarm
	for _, m := range x.Alarms {
		alarms = append(alarms, Alarm(m))
	}
	return alarms, nil
}

// APIDomain is an API Gateway domain name, and the APIs that it leads to by stage.
type APIDomain struct {
	Status, Certificate, Target string
	APIs                        []string
}

// APIDomain reads one.
func (a *Account) APIDomain(ctx context.Context, domain string) (APIDomain, error) {
	path := "/v2/domainnames/" + url.PathEscape(domain)
	raw, err := a.call(ctx, "apigateway", "apigateway", http.MethodGet, path, "", "", nil)
	if err != nil {
		return APIDomain{}, err
	}
	var d struct {
		Configurations []struct {
			Status      string `json:"domainNameStatus"`
			Certificate string `json:"certificateArn"`
			Target      string `json:"apiGatewayDomainName"`
		} `json:"domainNameConfigurations"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return APIDomain{}, fmt.Errorf("apigateway: %w", err)
	}
	var out APIDomain
	if len(d.Configurations) > 0 {
		c := d.Configurations[0]
		out.Status, out.Certificate, out.Target = c.Status, c.Certificate, strings.ToLower(c.Target)
	}
	if raw, err = a.call(ctx, "apigateway", "apigateway", http.MethodGet, path+"/apimappings", "", "", nil); err != nil {
		return out, err
	}
	var m struct {
		Items []struct {
			API string `json:"apiId"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return out, fmt.Errorf("apigateway: %w", err)
	}
	for _, i := range m.Items {
		out.APIs = append(out.APIs, i.API)
	}
	return out, nil
}
