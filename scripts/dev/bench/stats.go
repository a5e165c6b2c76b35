package main

import (
	"math"
	"slices"
	"time"
)

// median returns the median of what is asked of rows.
func median[T any](rows []T, of func(T) float64) float64 {
	var values []float64
	for _, row := range rows {
		values = append(values, of(row))
	}
	return middle(values)
}

// ratio returns the median of the ratios of what is asked of rows: the first over the first, and so on.
func ratio[T any](over, under []T, of func(T) float64) float64 {
	var ratios []float64
	for i, row := range over {
		ratios = append(ratios, of(row)/of(under[i]))
	}
	return middle(ratios)
}

// middle is not a number for no values.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// percentile returns, in milliseconds, the least duration that p of a hundred do not exceed.
func percentile(sorted []time.Duration, p float64) float64 {
	i := int(math.Ceil(p/100*float64(len(sorted)))) - 1
	return milliseconds(sorted[max(i, 0)])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// where returns the rows for which a condition holds, in their order.
func where[T any](rows []T, holds func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(rows), func(row T) bool { return !holds(row) })
}
