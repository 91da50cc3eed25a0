//go:build !lambda

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// helpTopics are what "nightlatch help TOPIC" says beside the verbs.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "access-rules", Short: "How the configuration says who may do what", Long: topicAccessRules},
		{Use: "access-cases", Short: "What access test reads", Long: topicAccessCases},
		{Use: "exit-codes", Short: "What the exit code says", Long: topicExitCodes},
		{Use: "json", Short: "What --json prints", Long: topicJSON + codeList("reason", latch.Codes) + codeList("cause", latch.CauseCodes) + codeList("difference", latch.DifferenceCodes) + codeList("decision", access.Codes)},
	}
}

// codeList says which codes there are. The lists are closed.
func codeList[C ~string](of string, codes []C) string {
	var all []string
	for _, c := range codes {
		all = append(all, string(c))
	}
	return fmt.Sprintf("\n\nThe codes of a %s:\n\n  %s", of, strings.Join(all, "\n  "))
}

const topicAccessRules = `Without access: in nightlatch.yaml, whoever is signed in may see, open and extend on every endpoint, and nobody may end
others' leases or administer. With rules, what no rule allows is denied, and one rule that denies is enough:

  access:
    contact: IT service desk, it@example.com
    groups:
      vpn-users: S-1-5-21-1004336348-1177238915-682003330-1121
      suspended: S-1-5-21-1004336348-1177238915-682003330-1130
    people:
      lee: 8d6c7b5a-0000-4000-8000-1234567890ab
    rules:
      - name: staff
        allow: [see, open, extend]
        groups: [vpn-users]
        endpoints: [office]
        longest: 4h
        hours: {windows: [{days: mon-fri, from: "08:00", to: "19:00"}], time_zone: Europe/Berlin}
        reason: required
      - {name: operators, allow: [see, open, extend, end-others, administer], people: [lee]}
      - {name: no-entry, deny: [see, open, extend, end-others, administer], groups: [suspended]}

  contact      whom a person may ask who is refused
  groups       a label for each group, and the group as the issuer sends it. IAM Identity Center sends an Active Directory's
               as SIDs, which Get-ADGroup shows. It is compared byte by byte, as subjects are.
  people       a label for each person, and their stable subject, which the audit shows. E-mail addresses decide nothing.
  rules        each with

  name         that refusals and the audit show
  allow, deny  one of the two, a list of
                 see         look at an endpoint
                 open        open it, or join those who use it
                 extend      extend one's own lease
                 end-others  end other people's leases
                 administer  the administrators' page: extend for others, pause, close, open outside the rules, the audit
               None brings another with it. To end one's own lease needs no rule.
  everyone     true: whoever is signed in; or
  groups, people
               those who are in one of the groups, or one of the people, by label
  endpoints    by name; left out: all
  longest      the longest lease. lease.max of the endpoint binds everybody all the same.
  hours        when the rule is in force, by the clock of a place; left out: always
  reason       required: whoever opens says why

Of several rules that allow, the one that gives the longest lease decides; of equally long ones, one that asks for no
reason; then the first.

The groups are read from the claim that signin.alb.groups_claim names (custom:groups). A user pool keeps at most 2,048
characters of it, about thirty SIDs. A list that is longer, cut off, or not to be read proves nothing: no rule that allows
groups applies, and every rule that denies groups does. So send few groups, those that rules are about.`

const topicAccessCases = `nightlatch access test reads a file of cases:

  cases:
    - name: users open by day
      groups: [vpn-users]
      endpoint: office
      action: open
      at: 2026-11-23 09:00
      want: allowed
      rule: staff
    - {person: lee, endpoint: office, action: administer, want: allowed}
    - {groups: [vpn-users], endpoint: office, action: open, at: 2026-11-23 23:00, want: denied, code: denied.hours}

  name        what the case is about; may be left out
  person      who asks, by a label of access.people; or
  subject     by their stable subject; without either it is somebody whom no rule names
  groups      that they are in: labels of access.groups, or SIDs
  groups_cut  true: the list of groups is not whole
  endpoint    its name
  action      see, open, extend, end-others or administer
  at          when, as 2026-11-23 09:00 by the endpoint's time zone, or RFC 3339; may be left out where no hours matter
  want        allowed, or denied
  code, rule  the code of the decision, and the rule that decides; may be left out

nightlatch help json lists the codes.`

const topicExitCodes = `The exit code says how a command ended:

  0  done; open --wait: it can be used; doctor: no check failed
  1  failed: AWS refused, the credentials are missing or may not, the configuration has faults; access test: a case ends
     otherwise than it should; doctor: a check failed
  2  usage: the command line cannot be meant, or names an endpoint or a file that is not there; access test: the cases
     have faults
  3  refused by policy or by the state: outside hours, closed or paused by an operator, only observed, no lease, no reason, too
     long, no session or block of that name
  4  AWS, or what Nightlatch keeps there, cannot be reached or asks to slow down: try again
  5  open --wait ended before it could be used: it failed, is stuck, or you stopped waiting; your lease may live on

An error is on stderr, one line that begins with "nightlatch:", and mostly one that begins with "hint:".`

const topicJSON = `With --json, a command prints one JSON object on stdout when it ends, and nothing before. Times are RFC 3339; what is zero
or nothing may be left out. Keys may be added; those that are here keep their meaning. When a command fails, its error is
on stderr and the exit code says which kind; only open --wait, and status of several endpoints, print also then.

status: {"endpoints": […]}, each an endpoint as below, with

  differences  with --drift: {code, associationId, subnetId, destination, groupId, status, message, text} each
  error        why it cannot be shown; then there is nothing but endpoint, id and title to go by

open, extend, done, close, pause, release: an endpoint, as GET /api/v1/endpoints/NAME answers it:

  endpoint     its name in the configuration; id is AWS's, title is for people
  id
  title
  state        off, opening, open, degraded, closing, unusable
  reason       {code, until, done, total, status, message, text}: why it is so
  associations {id, subnetId, status, message} each: those that are there or on their way
  until        when it closes if nothing changes
  soon         that is so near that people are warned
  observed     Nightlatch only watches it
  openFrom     when one may open or join again; left out when one may now
  since        when the present opening began, and when it was ready
  readyAt
  extendUntil  how far you could extend now
  clipped      you asked for more than the maximum leaves
  mine         {since, until, reason}: your lease
  longestSeconds
               the longest lease that the rules leave you, where it is less than the endpoint's
  hold         {until, pause, message}: an administrator's order that is in force
  refused      {action, code, text, contact, next} each: what the access rules do not let you do, of open and extend; to
               operators, whom IAM lets, never there
  others       how many leases others hold
  connections  how many clients are connected
  steps        {name, text, done, ready, total} each: the stages of opening
  progress     {phase, since, fromSeconds, toSeconds, samples, slow, stuck, text}: how long it takes still
  failure      {at, step, why}: the last one
  stale        AWS could not be asked; this is how it was at observedAt
  aws          {service, code, message}: what AWS said then
  observedAt   when EC2 was last looked at
  pollAfterMs  how long to wait before asking again, in milliseconds
  now          when this was written

why:

  endpoint, id, title, state, reason, failure, stale, observedAt, now
               as above
  closesAt     when it closes if nothing changes; left out when nothing closes it
  causes       {code, at, who, message, text} each, in the order of their times: what holds it and what ends it
  leases       {subject, name, why, since, asked, until, breakGlass} each, the longest first
  hold         {by, name, why, since, until, pause}: an operator's order to keep it closed, or paused
  next         what the next look would do, a line each
  differences  as with status --drift
  past         {phase, samples, halfSeconds, mostSeconds, allSeconds} each: half of all took no longer, nine in ten, all
  audit        {at, id, endpoint, subject, issuer, name, action, whose, code, why, before, after, source, requestId} each, the
               newest first; whose lease it was where that is not the subject's, code is a reason's where one was decided
  unanswered   why AWS could not be asked

access explain:

  subject      who asks; a label is resolved
  groups       that they are in, as the issuer sends them
  groupsCut    the list is not whole
  endpoint, action, at
               what they ask for, and when
  rules        {rule, effect, match, by, next, text} each, in the order of the file: how each was weighed; effect is allow
               or deny, match is other.action, other.endpoint, other.people, groups.cut, hours or applies, and next is when
               its hours begin
  decision     {allowed, code, rule, longestSeconds, reasonRequired, from, contact, text}: from is when it would be allowed

access test:

  cases        {name, line, passed, want, rules, decision} each, rules and decision as above
  failed       how many did not pass

session list:

  sessions     {id, subject, issuer, name, email, groups, groupsCut, groupsClaim, since, until, source} each, the newest first
  now          when this was written

access blocked:

  blocks       {subject, by, why, since, until} each, the newest first; without until: until it is taken back
  now          when this was written

doctor:

  checks       {name, result, detail, fix} each, in a fixed order; result is ok, warning, failure or not checked, and fix
               is what to do about it
  result       the gravest of them: failure, else warning, else ok
  now          when this was written

deploy plan:

  stack, region
               which stack it is about
  create       it is made, and not changed
  changes      {action, id, type, physicalId, replacement, because, retained, cost} each: action is CloudFormation's Add, Modify,
               Remove, Import or Dynamic, id the resource's in the template, replacement True or Conditional where it is
               replaced, because what of it changes; retained: what is replaced or removed stays in the account; cost is what
               that would cost, of what deploy apply replaces and removes with --replace alone

deploy status:

  stack, region, stackId
               which stack it is
  status, why  CloudFormation's, and its words
  inProgress   CloudFormation is at work on it
  created, updated
               when; updated is left out where it never was
  terminationProtection
               it is protected against deletion by other means
  signIn       pending until people can sign in, then ready
  outputs      the stack's, by name
  program      the deployed package's SHA-256
  programIsThis
               with --program: the deployed program is the one that is built here
  cause        {at, id, type, status, reason}: the first cause why the last change failed; hint is what to do about it
  hint

audit export --format json: an array, the oldest first, of what why has under audit, and endpointName`
