package jwks

import (
	"crypto/ed25519"
	"encoding/hex"
	"slices"
)

// smallOrder reports whether an Ed25519 key is one of the eight points of small
// order, in any encoding. Anyone can make signatures that such a key verifies, for
// one message in eight or for all messages.
func smallOrder(key ed25519.PublicKey) bool {
	y := slices.Clone(key)
	y[len(y)-1] &^= 0x80 // clear the sign of x: small-order points exist with both signs
	return slices.Contains(smallOrderY, hex.EncodeToString(y))
}

// smallOrderY are the y-coordinates of the points of small order, encoded as in RFC
// 8032, section 5.1.2. Coordinates below 19 have a second encoding, which
// crypto/ed25519 accepts too. libsodium rejects the same seven encodings.
var smallOrderY = []string{
	"0000000000000000000000000000000000000000000000000000000000000000", // 0, order 4
	"0100000000000000000000000000000000000000000000000000000000000000", // 1, order 1
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p-1, order 2
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p, which is 0
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p+1, which is 1
}
