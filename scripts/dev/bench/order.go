package main

import "slices"

// orders are all orders of three. Each of the three is first equally often and follows
// each other one equally often, also from one order to the next.
var orders = [][]int{{0, 2, 1}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}}

// inOrder returns all in the order of a turn. Unless they are three, they rotate.
func inOrder[T any](all []T, turn int) (ordered []T) {
	if len(all) != 3 {
		return slices.Concat(all[turn%len(all):], all[:turn%len(all)])
	}
	for _, i := range orders[turn%len(orders)] {
		ordered = append(ordered, all[i])
	}
	return ordered
}
