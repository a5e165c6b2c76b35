package main

// orders are the orders in which two, three or four take turns, by their number. Each is
// first equally often and follows each other one equally often. For three, the latter
// also holds from one turn to the next.
var orders = map[int][][]int{
	2: {{0, 1}, {1, 0}},
	3: {{0, 2, 1}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}},
	4: {{0, 1, 3, 2}, {1, 2, 0, 3}, {2, 3, 1, 0}, {3, 0, 2, 1}},
}

// inOrder returns all in the order of a turn.
func inOrder[T any](all []T, turn int) []T {
	var ordered []T
	list := orders[len(all)]
	for _, i := range list[turn%len(list)] {
		ordered = append(ordered, all[i])
	}
	return ordered
}
