package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Deploy says where on AWS Nightlatch's own pieces are made, and with what.
type Deploy struct {
	Stack  string // CloudFormation stack; also the prefix of what has a name
	Front  string // FrontALB or FrontHTTPAPI
	Domain string // of the page, in lower case
	Zone   string // id of the domain's public hosted zone
	// Certificate is the ARN of a certificate for the domain; empty: the stack makes one.
	Certificate  string
	Architecture string // "arm64" or "amd64", as Go names them
	LoadBalancer LoadBalancer
	UserPool     UserPool
	// Groups says whether people's groups are taken over from Identity Center.
	Groups        bool
	SignInOrigins []string
	// Bucket takes the program; empty: Nightlatch makes a private one.
	Bucket     string
	AlarmTopic string // ARN of an SNS topic; empty: alarms tell nobody
	LogDays    int
	// ReservedConcurrency is how many instances of the front may run at once; 0: not limited.
	ReservedConcurrency int
	PermissionsBoundary string // ARN of a policy; empty: none
	RolePath            string
	Tags                map[string]string
}

// The fronts of a deployment.
const (
	FrontALB     = "alb"
	FrontHTTPAPI = "httpapi"
)

// LoadBalancer is that of a deployment with FrontALB. With Listener, an existing one, only Priority is set beside it.
type LoadBalancer struct {
	VPC                string
	Subnets            []string
	Allow              []netip.Prefix
	Internal           bool
	LogBucket, LogPath string // of access logs; no bucket: none
	DeletionProtection bool
	Listener           string // ARN of an existing HTTPS listener
	Priority           int    // of the first of two rules
}

// UserPool is the Cognito user pool that people sign in at: an existing one if ID is set, else one that is made, with the
// domain prefix Prefix. It is empty where people sign in at an issuer that the file names.
type UserPool struct {
	Prefix   string
	ID       string
	Domain   string // host of the pool's sign-in page
	Provider string // name of its SAML provider
}

// Issuer reports whether people sign in at an issuer that the file names in signin.oidc, and no user pool is needed.
func (c *Config) Issuer() bool { return c.ownIssuer }

type deploySection struct {
	Stack               string            `yaml:"stack"`
	Front               string            `yaml:"front"`
	Domain              string            `yaml:"domain"`
	HostedZone          string            `yaml:"hosted_zone"`
	Certificate         string            `yaml:"certificate"`
	Architecture        string            `yaml:"architecture"`
	LoadBalancer        *loadBalancer     `yaml:"load_balancer"`
	UserPool            *userPool         `yaml:"user_pool"`
	Groups              bool              `yaml:"groups"`
	SignInOrigins       []string          `yaml:"sign_in_origins"`
	Bucket              string            `yaml:"bucket"`
	AlarmTopic          string            `yaml:"alarm_topic"`
	LogDays             *int              `yaml:"log_days"`
	ReservedConcurrency *int              `yaml:"reserved_concurrency"`
	PermissionsBoundary string            `yaml:"permissions_boundary"`
	RolePath            string            `yaml:"role_path"`
	Tags                map[string]string `yaml:"tags"`
}

type loadBalancer struct {
	VPC                string   `yaml:"vpc"`
	Subnets            []string `yaml:"subnets"`
	Allow              []string `yaml:"allow"`
	Internal           bool     `yaml:"internal"`
	AccessLogs         string   `yaml:"access_logs"`
	DeletionProtection bool     `yaml:"deletion_protection"`
	Listener           string   `yaml:"listener"`
	Priority           *int     `yaml:"priority"`
}

type userPool struct {
	Prefix   string `yaml:"prefix"`
	ID       string `yaml:"id"`
	Domain   string `yaml:"domain"`
	Provider string `yaml:"provider"`
}

var (
	// Stack names are CloudFormation's, 128 characters of letters, digits and "-"; here they are in what else has a name,
	// of which a target group's is the shortest: 32.
	stackForm        = formOf(`^[a-z][a-z0-9-]{0,21}[a-z0-9]$`, 0)
	domainForm       = formOf(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$`, 64) // RequestCertificate, ACM API Reference
	zoneForm         = formOf(`^Z[A-Z0-9]{1,31}$`, 0)
	certificateForm  = formOf(`^arn:aws[a-z-]*:acm:([a-z0-9-]+):\d{12}:certificate/[0-9a-zA-Z-]+$`, 0)
	listenerForm     = formOf(`^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:listener/app/[^/]+/[0-9a-f]+/[0-9a-f]+$`, 0)
	vpcForm          = formOf(`^vpc-[0-9a-f]+$`, 0)
	prefixForm       = formOf(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`, 63) // CreateUserPoolDomain, Cognito API Reference
	poolForm         = formOf(`^[\w-]+_[0-9a-zA-Z]+$`, 0)
	providerForm     = formOf(`^[^_\s]\S+[^_\s]$`, 32) // CreateIdentityProvider, Cognito API Reference
	bucketForm       = formOf(`^[a-z0-9][a-z0-9.-]+[a-z0-9]$`, 63)
	topicForm        = formOf(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]+$`, 0)
	boundaryForm     = formOf(`^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/.+$`, 0)
	rolePathForm     = formOf(`^/([\x21-\x7e]+/)?$`, 512)
	logDays          = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653} // PutRetentionPolicy
	forbiddenPrefix  = []string{"aws", "amazon", "cognito"}
	architectures    = []string{"arm64", "amd64"}
	allowedByDefault = netip.MustParsePrefix("0.0.0.0/0")
)

const (
	defaultStack = "nightlatch"
	// priorityMost leaves room for the second rule (CreateRule, Elastic Load Balancing API Reference: 1-50000).
	priorityMost = 49999
	// tagsMost is CloudFormation's (CreateChangeSet, API Reference).
	tagsMost = 50
	// reservedMost is far above any account's default of 1,000.
	reservedMost = 10_000
)

// deploy reads the section; f is the file that it is in.
func (c *checker) deploy(f file) *Deploy {
	d := f.Deploy
	out := &Deploy{
		Stack: cmp.Or(d.Stack, defaultStack), Front: cmp.Or(d.Front, FrontALB), Domain: d.Domain, Zone: d.HostedZone, Certificate: d.Certificate,
		Architecture: cmp.Or(d.Architecture, architectures[0]), Groups: d.Groups, SignInOrigins: d.SignInOrigins, Bucket: d.Bucket, AlarmTopic: d.AlarmTopic,
		LogDays: 90, PermissionsBoundary: d.PermissionsBoundary, RolePath: cmp.Or(d.RolePath, "/"), Tags: d.Tags,
	}
	c.require("deploy.stack", out.Stack, stackForm, "a short name for the stack: 2 to 23 of a-z, 0-9 and -, a letter first")
	if out.Front != FrontALB && out.Front != FrontHTTPAPI {
		c.fault("deploy.front", "%q is neither %s, a load balancer, nor %s, an HTTP API", out.Front, FrontALB, FrontHTTPAPI)
	}
	// Cognito compares redirect addresses letter by letter, and browsers write host names in lower case.
	c.require("deploy.domain", d.Domain, domainForm, "the page's host name in lower case, vpn.example.com")
	c.require("deploy.hosted_zone", d.HostedZone, zoneForm, "the id of the domain's public hosted zone, Z0123456789ABC")
	if d.Certificate != "" {
		c.require("deploy.certificate", d.Certificate, certificateForm, "a certificate's ARN, arn:aws:acm:…; leave it out to have one made")
		if m := certificateForm.FindStringSubmatch(d.Certificate); m != nil && m[1] != f.Region {
			c.fault("deploy.certificate", "is of %s, and the front is in %s: a certificate is used in its own Region", m[1], f.Region)
		}
	}
	if !slices.Contains(architectures, out.Architecture) {
		c.fault("deploy.architecture", "%q is neither arm64 nor amd64", d.Architecture)
	}
	c.loadBalancer(f, out)
	c.userPool(f, out)
	c.origins("deploy.sign_in_origins", d.SignInOrigins)
	if d.Bucket != "" {
		c.require("deploy.bucket", d.Bucket, bucketForm, "an S3 bucket's name; leave it out to have one made")
	}
	if d.AlarmTopic != "" {
		c.require("deploy.alarm_topic", d.AlarmTopic, topicForm, "an SNS topic's ARN")
	}
	if d.LogDays != nil {
		if out.LogDays = *d.LogDays; !slices.Contains(logDays, out.LogDays) {
			c.fault("deploy.log_days", "%d is not among what CloudWatch Logs keeps: %s", out.LogDays, strings.Trim(fmt.Sprint(logDays), "[]"))
		}
	}
	if d.ReservedConcurrency != nil {
		if out.ReservedConcurrency = *d.ReservedConcurrency; out.ReservedConcurrency < 1 || out.ReservedConcurrency > reservedMost {
			c.fault("deploy.reserved_concurrency", "%d is not between 1 and %d; leave it out for no limit", out.ReservedConcurrency, reservedMost)
		}
	}
	if d.PermissionsBoundary != "" {
		c.require("deploy.permissions_boundary", d.PermissionsBoundary, boundaryForm, "a policy's ARN")
	}
	c.require("deploy.role_path", out.RolePath, rolePathForm, "a path that begins and ends with /, like /nightlatch/")
	if len(d.Tags) > tagsMost {
		c.fault("deploy.tags", "has %d, and a stack takes %d", len(d.Tags), tagsMost)
	}
	for _, k := range slices.Sorted(maps.Keys(d.Tags)) {
		if k == "" || len(k) > 128 || d.Tags[k] == "" || len(d.Tags[k]) > 256 || strings.HasPrefix(strings.ToLower(k), "aws:") {
			c.fault("deploy.tags."+k, "is not a tag: up to 128 characters and a value of 1 to 256; aws: is AWS's own")
		}
	}
	return out
}

func (c *checker) loadBalancer(f file, out *Deploy) {
	const path = "deploy.load_balancer"
	lb := f.Deploy.LoadBalancer
	if out.Front != FrontALB {
		if lb != nil {
			c.fault(path, "is for front: alb; leave it out")
		}
		return
	}
	if lb == nil {
		c.fault(path, "is missing: name a vpc and two or more public subnets, or an existing listener")
		return
	}
	to := &out.LoadBalancer
	to.Priority = 100
	if lb.Priority != nil {
		if to.Priority = *lb.Priority; to.Priority < 1 || to.Priority > priorityMost {
			c.fault(path+".priority", "%d is not between 1 and %d", to.Priority, priorityMost)
		}
	}
	if lb.Listener != "" {
		to.Listener = lb.Listener
		c.require(path+".listener", lb.Listener, listenerForm, "the ARN of an HTTPS listener, arn:aws:elasticloadbalancing:…:listener/app/…")
		if lb.VPC != "" || len(lb.Subnets) > 0 || len(lb.Allow) > 0 || lb.Internal || lb.AccessLogs != "" || lb.DeletionProtection {
			c.fault(path+".listener", "names a load balancer that exists: beside it, only priority means anything")
		}
		return
	}
	to.VPC, to.Subnets, to.Internal, to.DeletionProtection = lb.VPC, lb.Subnets, lb.Internal, lb.DeletionProtection
	c.require(path+".vpc", lb.VPC, vpcForm, "the load balancer's VPC, vpc-…")
	if len(lb.Subnets) < 2 {
		c.fault(path+".subnets", "names %d: a load balancer is in two zones or more", len(lb.Subnets))
	}
	for i, s := range lb.Subnets {
		c.require(fmt.Sprintf("%s.subnets.%d", path, i), s, subnetForm, "a subnet's id, subnet-…")
	}
	for i, s := range lb.Allow {
		p, err := netip.ParsePrefix(s)
		if err != nil || p != p.Masked() {
			c.fault(fmt.Sprintf("%s.allow.%d", path, i), "%q is not a CIDR block with its host bits off, like 203.0.113.0/24", s)
		}
		to.Allow = append(to.Allow, p)
	}
	if lb.Allow == nil {
		to.Allow = []netip.Prefix{allowedByDefault}
	} else if len(lb.Allow) == 0 {
		c.fault(path+".allow", "lets nobody in: name CIDR blocks, or leave it out for everybody")
	}
	if lb.AccessLogs != "" {
		to.LogBucket, to.LogPath, _ = strings.Cut(lb.AccessLogs, "/")
		c.require(path+".access_logs", to.LogBucket, bucketForm, "an S3 bucket's name, with /prefix if wanted")
	}
}

func (c *checker) userPool(f file, out *Deploy) {
	const path = "deploy.user_pool"
	p := f.Deploy.UserPool
	if c.ownIssuer(f) {
		if p != nil {
			c.fault(path, "is not needed: signin.oidc names an issuer")
		}
		return
	}
	if p == nil {
		c.fault(path, "is missing: name a prefix for the sign-in page's domain, or an existing pool")
		return
	}
	to := &out.UserPool
	to.Provider = cmp.Or(p.Provider, "IdentityCenter")
	c.require(path+".provider", to.Provider, providerForm, "a SAML provider's name, 3 to 32 characters without spaces, and without _ at either end")
	if p.ID == "" {
		to.Prefix, to.Domain = p.Prefix, fmt.Sprintf("%s.auth.%s.amazoncognito.com", p.Prefix, f.Region)
		c.require(path+".prefix", p.Prefix, prefixForm, "the first part of the sign-in page's host name: 1 to 63 of a-z, 0-9 and -; it must be free in the whole Region")
		// From practice, not from AWS's pages: a prefix with a word of AWS's is refused.
		for _, word := range forbiddenPrefix {
			if strings.Contains(p.Prefix, word) {
				c.fault(path+".prefix", "%q holds %q, which Cognito keeps to itself", p.Prefix, word)
			}
		}
		if p.Domain != "" {
			c.fault(path+".domain", "is that of an existing pool, and there is no id: write prefix")
		}
		return
	}
	to.ID, to.Domain = p.ID, p.Domain
	c.require(path+".id", p.ID, poolForm, "a user pool's id, eu-central-1_AbCdEfGhI")
	if !strings.HasPrefix(p.ID, f.Region+"_") {
		c.fault(path+".id", "%q is not of %s: a load balancer and a function here take no other", p.ID, f.Region)
	}
	if p.Prefix != "" {
		c.fault(path+".prefix", "is for a pool that is made, and id names one that exists: write its domain")
	}
	if prefixForm.MatchString(p.Domain) {
		to.Domain = fmt.Sprintf("%s.auth.%s.amazoncognito.com", p.Domain, f.Region)
	} else {
		c.require(path+".domain", p.Domain, domainForm, "the domain of the existing pool: its prefix, or its host name")
	}
}

// ownIssuer: the file names where people sign in, and the deployment makes no user pool.
func (c *checker) ownIssuer(f file) bool {
	return f.SignIn.OIDC != nil && f.SignIn.OIDC.Issuer != "" && !c.told["signin.oidc.issuer"]
}

// Complete says what is missing that only the deployed stack knows: the functions are told by their environment, a
// command line reads the stack's outputs. Without a deploy section nothing can be missing that Parse does not report.
func (c *Config) Complete() error {
	if len(c.missing) == 0 {
		return nil
	}
	var faults []error
	for _, path := range c.missing {
		faults = append(faults, fmt.Errorf("%s is missing: the deployment sets %s", path, Variable(path)))
	}
	return errors.Join(faults...)
}
