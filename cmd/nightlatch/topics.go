//go:build !lambda

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// helpTopics are what "nightlatch help TOPIC" says beside the verbs.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit code says", Long: topicExitCodes},
		{Use: "json", Short: "What --json prints", Long: topicJSON + codeList("reason", latch.Codes) + codeList("cause", latch.CauseCodes) + codeList("difference", latch.DifferenceCodes)},
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

const topicExitCodes = `The exit code says how a command ended:

  0  done; open --wait: it can be used
  1  failed: AWS refused, the credentials are missing or may not, the configuration has faults
  2  usage: the command line cannot be meant, or names an endpoint or a file that is not there
  3  refused by policy or by the state: outside hours, closed by an operator, only observed, no lease, no reason, too long
  4  AWS, or what Nightlatch keeps there, cannot be reached or asks to slow down: try again
  5  open --wait ended before it could be used: it failed, is stuck, or you stopped waiting; your lease may live on

An error is on stderr, one line that begins with "nightlatch:", and mostly one that begins with "hint:".`

const topicJSON = `With --json, a command prints one JSON object on stdout when it ends, and nothing before. Times are RFC 3339; what is zero
or nothing may be left out. Keys may be added; those that are here keep their meaning. When a command fails, its error is
on stderr and the exit code says which kind; only open --wait, and status of several endpoints, print also then.

status: {"endpoints": […]}, each an endpoint as below, with

  differences  with --drift: {code, associationId, subnetId, destination, groupId, status, message, text} each
  error        why it cannot be shown; then there is nothing but endpoint, id and title to go by

open, extend, done, close, release: an endpoint, as GET /api/v1/endpoints/NAME answers it:

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
  leases       {subject, name, why, since, asked, until} each, the longest first
  hold         {by, name, why, since, until}: an operator's order to keep it closed
  next         what the next look would do, a line each
  differences  as with status --drift
  past         {phase, samples, halfSeconds, mostSeconds, allSeconds} each: half of all took no longer, nine in ten, all
  audit        {at, id, endpoint, subject, name, action, why, before, after, source, requestId} each, the newest first
  unanswered   why AWS could not be asked`
