// Package proof holds no code but tests, which make evidence of what the ledger
// promises (package dedup), under every fault that a wire, a process or a sender
// can have:
//
//	go test ./scripts/proof -run Matrix -v    every fault at every step
//
// The functions run as processes, on the official emulators where they are found,
// and the faults are injected on the wire between the two.
package proof
