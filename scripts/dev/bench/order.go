package main

import "slices"

// orders are all orders of three items. Each item is first equally often, and follows
// each other item equally often, also from one order to the next.
var orders = [][]int{{0, 2, 1}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}}

// inOrder returns the items in the order for a turn. If there are not three, it rotates
// them.
func inOrder[T any](all []T, turn int) (ordered []T) {
	if len(all) != 3 {
		return slices.Concat(all[turn%len(all):], all[:turn%len(all)])
	}
	for _, i := range orders[turn%len(orders)] {
		ordered = append(ordered, all[i])
	}
	return ordered
}
