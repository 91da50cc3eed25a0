//go:build !race

package latch_test

const defaultHistories = 120
