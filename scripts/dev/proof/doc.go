// Package proof contains only tests. They check the contract of package dedup under
// faults of the network, of processes and of the sender:
//
//	go test ./scripts/dev/proof -run Matrix -v    every fault at every step
//	go test ./scripts/dev/proof -run Shared -v    faults of calls that deliveries share
//	go test ./scripts/dev/proof -run Soak -v      many deliveries, with instances killed and connections cut
//	go test ./scripts/dev/proof -run 'Overload|Large|Forgeries|HalfSent' -v -timed  overload
//
// The default soak is short. A soak of a minute or more also fails if an instance's
// memory grows. A long soak needs memory for the history that the Firestore emulator
// keeps:
//
//	_JAVA_OPTIONS=-Xmx4g go test ./scripts/dev/proof -run Soak -v -deliveries 100000 -timeout 2h
//
// The functions run as processes and use the official emulators. A proxy between the
// two injects the faults. With -embedded, the tests use in-process stand-ins instead of
// the emulators.
package proof
