package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// prefix is where in a bucket everything of ours is.
const prefix = "nightlatch/"

// bucket is where the program goes. Every call names its owner, so that somebody else's bucket of that name takes nothing.
type bucket struct {
	name, account string
	own           bool // Nightlatch made it, or will
}

func (d *Driver) bucket(ctx context.Context) (bucket, error) {
	account, err := d.account(ctx)
	if err != nil {
		return bucket{}, err
	}
	if b := d.c.Settings.Deploy.Bucket; b != "" {
		return bucket{name: b, account: account}, nil
	}
	// 63 characters at most: 12 of the account, 23 of the stack, and no Region has more than 16.
	return bucket{fmt.Sprintf("nightlatch-%s-%s-%s", account, d.c.AWS.Region, d.stack), account, true}, nil
}

// there makes sure that the bucket is there, is in the stack's Region (from which Lambda takes it) and is ours to write to.
// One of Nightlatch's own is made as it should be, each time anew. It is encrypted without being told ("Amazon S3 now
// automatically encrypts all new objects", 2023). It keeps what it is given: an object has a few megabytes, and an update
// that is rolled back needs the program before.
func (d *Driver) there(ctx context.Context, b bucket) error {
	out, err := d.objects.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name, ExpectedBucketOwner: &b.account})
	switch code := awserr.Code(err); {
	case err == nil:
		if r := aws.ToString(out.BucketRegion); r != "" && r != d.c.AWS.Region {
			return fmt.Errorf("bucket %s is in %s: Lambda takes a program from a bucket in its own Region, %s", b.name, r, d.c.AWS.Region)
		}
		if !b.own {
			return nil
		}
	// A HEAD has no body, so there is no other code than that of the HTTP status.
	case code == "Forbidden" || code == "AccessDenied":
		return fmt.Errorf("bucket %s is another account's, or your credentials may not look at it: %w", b.name, s3Errors.Translate(err))
	case (code == "NotFound" || code == "NoSuchBucket") && !b.own:
		return fmt.Errorf("there is no bucket %s: make it, or leave out deploy.bucket to have one made: %w", b.name, s3Errors.Translate(err))
	case code == "NotFound" || code == "NoSuchBucket":
		if err := d.makeBucket(ctx, b); err != nil {
			return err
		}
	default:
		return fmt.Errorf("bucket %s: %w", b.name, s3Errors.Translate(err))
	}
	return d.closeBucket(ctx, b)
}

func (d *Driver) makeBucket(ctx context.Context, b bucket) error {
	d.c.Say("making the bucket " + b.name + " for the program, private")
	in := &s3.CreateBucketInput{Bucket: &b.name, ObjectOwnership: types.ObjectOwnershipBucketOwnerEnforced}
	if d.c.AWS.Region != "us-east-1" { // the one Region that is not named (CreateBucket, Amazon S3 API Reference)
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(d.c.AWS.Region)}
	}
	_, err := d.objects.CreateBucket(ctx, in)
	switch awserr.Code(err) {
	case "BucketAlreadyOwnedByYou":
		return nil
	case "BucketAlreadyExists":
		return fmt.Errorf("the bucket %s is another account's: name one of yours in deploy.bucket: %w", b.name, s3Errors.Translate(err))
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, s3Errors.Translate(err))
	}
	return nil
}

// closeBucket shuts everybody else out, and plain HTTP.
func (d *Driver) closeBucket(ctx context.Context, b bucket) error {
	_, err := d.objects.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: &b.name, ExpectedBucketOwner: &b.account,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicAcls: new(true), BlockPublicPolicy: new(true), IgnorePublicAcls: new(true), RestrictPublicBuckets: new(true)}})
	if err == nil {
		arn := "arn:" + d.partition() + ":s3:::" + b.name
		var policy []byte
		policy, err = json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
			"Sid": "OnlyOverTLS", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": []string{arn, arn + "/*"},
			"Condition": map[string]any{"Bool": map[string]string{"aws:SecureTransport": "false"}}}}})
		if err == nil {
			_, err = d.objects.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &b.name, ExpectedBucketOwner: &b.account, Policy: new(string(policy))})
		}
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, s3Errors.Translate(err))
	}
	return nil
}

// partition is the first part of ARNs in the stack's Region, and domain the end of its addresses ("AWS Regions and
// endpoints"; botocore's partitions).
func (d *Driver) partition() string {
	switch {
	case strings.HasPrefix(d.c.AWS.Region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(d.c.AWS.Region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(d.c.AWS.Region, "eusc-"):
		return "aws-eusc"
	}
	return "aws"
}

func (d *Driver) domain() string {
	switch d.partition() {
	case "aws-cn":
		return "amazonaws.com.cn"
	case "aws-eusc":
		return "amazonaws.eu"
	}
	return "amazonaws.com"
}

// upload puts the program into the bucket, unless it is there.
func (d *Driver) upload(ctx context.Context, p *Program) error {
	b, err := d.bucket(ctx)
	if err == nil {
		err = d.there(ctx, b)
	}
	if err != nil {
		return err
	}
	return d.put(ctx, b, p.Key(), p.Zip)
}

// put writes an object whose key names its content, unless it is there as it should be.
func (d *Driver) put(ctx context.Context, b bucket, key string, body []byte) error {
	sum := sha256.Sum256(body)
	digest := base64.StdEncoding.EncodeToString(sum[:])
	have, err := d.objects.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: &b.account, ChecksumMode: types.ChecksumModeEnabled})
	switch code := awserr.Code(err); {
	case err == nil && aws.ToString(have.ChecksumSHA256) == digest:
		return nil
	case err != nil && code != "NotFound" && code != "NoSuchKey":
		// Forbidden may mean that it is not there, to somebody who may not list: writing tells.
		if code != "Forbidden" {
			return fmt.Errorf("s3://%s/%s: %w", b.name, key, s3Errors.Translate(err))
		}
	}
	d.c.Say(fmt.Sprintf("uploading %d kB to s3://%s/%s", (len(body)+999)/1000, b.name, key))
	_, err = d.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: &b.account, Body: bytes.NewReader(body),
		ContentLength: new(int64(len(body))), ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: &digest})
	if err != nil {
		return fmt.Errorf("s3://%s/%s: %w", b.name, key, s3Errors.Translate(err))
	}
	return nil
}

// putTemplate uploads a template that is too long to be sent directly, and returns its address.
func (d *Driver) putTemplate(ctx context.Context, b bucket, body []byte) (*string, error) {
	if err := d.there(ctx, b); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	key := prefix + hex.EncodeToString(sum[:]) + ".yaml"
	if err := d.put(ctx, b, key, body); err != nil {
		return nil, err
	}
	return new(fmt.Sprintf("https://%s.s3.%s.%s/%s", b.name, d.c.AWS.Region, d.domain(), key)), nil
}

// OwnBucket is the bucket that Nightlatch made for the program; empty where the configuration names one, or where it is
// not there.
func (d *Driver) OwnBucket(ctx context.Context) (string, error) {
	b, err := d.bucket(ctx)
	if err != nil || !b.own {
		return "", err
	}
	_, err = d.objects.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name, ExpectedBucketOwner: &b.account})
	switch err := s3Errors.Translate(err); {
	case errors.Is(err, latch.ErrNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("bucket %s: %w", b.name, err)
	}
	return b.name, nil
}

// RemoveBucket deletes the bucket that Nightlatch made, with what Nightlatch put there. With anything else in it, it stays,
// and the error says so.
func (d *Driver) RemoveBucket(ctx context.Context) error {
	b, err := d.bucket(ctx)
	if err != nil || !b.own {
		return err
	}
	for pages := s3.NewListObjectsV2Paginator(d.objects, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: new(prefix), ExpectedBucketOwner: &b.account}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", b.name, s3Errors.Translate(err))
		}
		for _, o := range page.Contents {
			if _, err := d.objects.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: o.Key, ExpectedBucketOwner: &b.account}); err != nil {
				return fmt.Errorf("s3://%s/%s: %w", b.name, aws.ToString(o.Key), s3Errors.Translate(err))
			}
		}
	}
	_, err = d.objects.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &b.name, ExpectedBucketOwner: &b.account})
	if awserr.Code(err) == "BucketNotEmpty" {
		return fmt.Errorf("bucket %s stays: it holds what Nightlatch did not put there: %w", b.name, s3Errors.Translate(err))
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, s3Errors.Translate(err))
	}
	return nil
}
