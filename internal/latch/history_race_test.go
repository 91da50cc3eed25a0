//go:build race

package latch_test

// defaultHistories under the race detector, which makes them six times as slow.
const defaultHistories = 20
