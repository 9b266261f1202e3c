package infer

import (
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
)

// TestTokenBytes: a token takes in a cache what its type says.
func TestTokenBytes(t *testing.T) {
	const layers, heads, dim = 3, 2, 24
	for _, kind := range []CacheType{CacheF32, CacheF16, CacheInt8} {
		c := newCache(kind, heads, keyTile, dim)
		bytes := 0
		for _, h := range []half{c.keys, c.values} {
			bytes += 4*len(h.floats) + 2*len(h.float16) + len(h.int8) + 4*len(h.scales)
		}
		want := int64(layers * bytes / keyTile)
		if got := kind.TokenBytes(arch.Config{Layers: layers, KVHeads: heads, HeadDim: dim}); got != want {
			t.Errorf("%s: %d bytes a token, a cache has %d", kind, got, want)
		}
	}
}
