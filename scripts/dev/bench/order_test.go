package main

import (
	"fmt"
	"slices"
	"testing"
)

func TestOrders(t *testing.T) {
	for n, list := range orders {
		firsts, follows := make(map[int]int), make(map[[2]int]int)
		for _, order := range list {
			if !slices.Equal(slices.Sorted(slices.Values(order)), []int{0, 1, 2, 3}[:n]) {
				t.Errorf("%v is not an order of %d", order, n)
			}
			firsts[order[0]]++
			countFollows(follows, order)
		}
		for i := range n {
			if firsts[i]*n != len(list) {
				t.Errorf("of %d, %d is first %d times in %d", n, i, firsts[i], len(list))
			}
		}
		checkFollows(t, n, follows)
	}
}

// The receivers take turns in all orders, balanced from one turn to the next as well.
func TestOrdersOfReceivers(t *testing.T) {
	n := len(receivers)
	all := make(map[string]bool)
	for _, order := range orders[n] {
		all[fmt.Sprint(order)] = true
	}
	if len(all) != 6 || len(orders[n]) != 6 {
		t.Errorf("%d orders of %d receivers, %d different ones, want all 6", len(orders[n]), n, len(all))
	}
	follows := make(map[[2]int]int)
	turns := slices.Concat(orders[n]...)
	countFollows(follows, append(turns, turns[0]))
	checkFollows(t, n, follows)
}

func countFollows(follows map[[2]int]int, sequence []int) {
	for i, next := range sequence[1:] {
		follows[[2]int{sequence[i], next}]++
	}
}

// checkFollows wants each to follow each other equally often, and none itself.
func checkFollows(t *testing.T, n int, follows map[[2]int]int) {
	t.Helper()
	for pair, times := range follows {
		if pair[0] == pair[1] || times != follows[[2]int{0, 1}] {
			t.Errorf("of %d, %d follows %d %d times", n, pair[1], pair[0], times)
		}
	}
	if len(follows) != n*(n-1) {
		t.Errorf("of %d, %d pairs follow each other", n, len(follows))
	}
}

func TestInOrder(t *testing.T) {
	if got := inOrder([]string{"a", "b", "c"}, 7); !slices.Equal(got, []string{"c", "b", "a"}) {
		t.Errorf("in the second order of three: %v", got)
	}
}
