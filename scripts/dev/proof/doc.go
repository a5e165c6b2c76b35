// Package proof holds no code but tests, which make evidence of what the ledger
// promises (package dedup), under every fault that a wire, a process or a sender
// can have:
//
//	go test ./scripts/dev/proof -run Matrix -v    every fault at every step
//	go test ./scripts/dev/proof -run Shared -v    the faults of a call that deliveries share
//	go test ./scripts/dev/proof -run Soak -v      many deliveries, while instances are killed and connections cut
//	go test ./scripts/dev/proof -run 'Overload|Large|Forgeries|HalfSent' -v -timed  more than can be accepted
//
// The soak is short. One of a minute and more fails also where an instance's memory
// grows. A long one needs room for the history that the Firestore emulator keeps:
//
//	_JAVA_OPTIONS=-Xmx4g go test ./scripts/dev/proof -run Soak -v -deliveries 100000 -timeout 2h
//
// The functions run as processes, on the official emulators, and the faults are
// injected on the wire between the two. Where there are no emulators, -embedded does
// the same on the embedded products.
package proof
