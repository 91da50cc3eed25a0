package web

import (
	"fmt"
	"reflect"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// checkCatalogue proves what the compiler cannot: that the maps cover latch's lists, and that no text is empty.
func checkCatalogue() []error {
	var faults []error
	full := func(what string, t text) {
		for l := range langs {
			if t.say(l) == "" {
				faults = append(faults, fmt.Errorf("catalogue: %s has no words in %v", what, l))
			}
		}
	}
	for _, c := range latch.Codes {
		full("reason "+string(c), reasonSay[c])
	}
	for _, s := range []latch.State{latch.StateOff, latch.StateOpening, latch.StateOpen, latch.StateDegraded, latch.StateClosing, latch.StateUnusable} {
		full("state "+string(s), stateTitle[s])
		full("state word "+string(s), stateWord[s])
		if stateMark[s] == "" {
			faults = append(faults, fmt.Errorf("catalogue: state %s has no mark", s))
		}
	}
	for _, c := range latch.CauseCodes {
		full("cause "+string(c), causeSay[c])
	}
	for _, c := range latch.DifferenceCodes {
		full("difference "+string(c), differenceSay[c])
	}
	for _, a := range access.Actions {
		full("refusal of "+string(a), mayNot[a])
	}
	for _, c := range access.Codes {
		full("access "+string(c), accessSay[c])
	}
	for _, s := range latch.Stages {
		full("stage "+string(s), stageText[s])
	}
	for _, p := range latch.Phases {
		full("phase "+string(p), phaseText[p])
	}
	for _, p := range append(table, unlisted) {
		full("title of "+p.slug, p.words.title)
		full("detail of "+p.slug, p.words.detail)
	}
	for l := range langs {
		for _, v := range []reflect.Value{reflect.ValueOf(labelsIn(l)), reflect.ValueOf(consoleLabelsIn(l))} {
			for i := range v.NumField() {
				if v.Field(i).String() == "" {
					faults = append(faults, fmt.Errorf("catalogue: label %s has no words in %v", v.Type().Field(i).Name, l))
				}
			}
		}
	}
	return faults
}
