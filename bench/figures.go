package main

import (
	"math"
	"slices"
)

// spread is a median with the tenth and the ninetieth percentile of what was measured.
type spread struct {
	Median float64 `json:"median"`
	P10    float64 `json:"p10"`
	P90    float64 `json:"p90"`
}

func spreadOf(values []float64) spread {
	return spread{quantile(values, 0.5), quantile(values, 0.1), quantile(values, 0.9)}
}

// quantile interpolates between the two values on either side, as spreadsheets do (type 7 of Hyndman and Fan, 1996). Of
// nothing it is not a number.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// bound is one figure that the design promises.
type bound struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Most  float64 `json:"most"`
	Unit  string  `json:"unit"`
	Met   bool    `json:"met"`
}

// hold judges a figure. One that could not be measured is not met.
func hold(what string, value, most float64, unit string) bound {
	return bound{what, value, most, unit, value <= most}
}
