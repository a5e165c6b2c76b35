package main

import (
	"slices"
	"strings"
	"testing"
)

// The receivers take turns in all orders. Each is first equally often, and follows each
// other receiver equally often, also from one order to the next.
func TestOrders(t *testing.T) {
	all, firsts, follows := make(map[string]bool), make(map[string]int), make(map[string]int)
	previous := inOrder(receivers, len(orders)-1)[2]
	for turn := range orders {
		order := inOrder(receivers, turn)
		all[strings.Join(order, " ")] = true
		firsts[order[0]]++
		for _, r := range order {
			follows[previous+" "+r]++
			previous = r
		}
	}
	if len(all) != 6 || len(orders) != 6 {
		t.Errorf("%d orders, %d different ones, want all 6", len(orders), len(all))
	}
	for _, r := range receivers {
		if firsts[r] != 2 {
			t.Errorf("%s is first %d times, want 2", r, firsts[r])
		}
		for _, next := range receivers {
			if got := follows[r+" "+next]; r != next && got != 3 || r == next && got != 0 {
				t.Errorf("%s follows %s %d times, want 3, itself never", next, r, got)
			}
		}
	}
	for turn, want := range []string{"a b", "b a", "a b"} {
		if got := strings.Join(inOrder(strings.Split("a b", " "), turn), " "); got != want {
			t.Errorf("turn %d of two: %s, want %s", turn, got, want)
		}
	}
	if got := inOrder([]string{"a", "b", "c"}, 7); !slices.Equal(got, []string{"c", "b", "a"}) {
		t.Errorf("the second order of three: %v", got)
	}
}
