package vector

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkLoops are the loops at sizes that models have, with each kernel.
func BenchmarkLoops(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const n, positions, dim = 1024, 64, 128
	x, y, z := values(r, 8*n, false), values(r, 8*n, false), values(r, 8*n, false)
	dst := make([]float32, 8*n)
	queries := Rows{values(r, 16*dim, false), dim, 16}
	scores := Rows{make([]float32, 16*positions), positions, 16}
	means := Rows{make([]float32, 16*dim), dim, 16}
	keys := Blocks{values(r, positions*dim, false), lanes * dim, dim, positions / lanes}
	held := Blocks{values(r, positions*dim, false), lanes * positions, positions, dim / lanes}
	codes, halves := make([]int8, n), make([]uint16, n)
	rows := func(x Rows, count int) Rows { x.Count = count; return x }
	for _, loop := range []struct {
		name   string
		values int
		run    func(k kernel)
	}{
		{"RMSNorm/1 row", n, func(kernel) { RMSNorm(dst[:n], x[:n], y[:n], 1e-6) }},
		{"RMSNorm/8 rows", 8 * n, func(kernel) { RMSNorm(dst, x, y[:n], 1e-6) }},
		{"SiLU", n, func(k kernel) { k.silu(dst[:n], x[:n], y[:n]) }},
		{"GELUTanh", n, func(k kernel) { k.gelu(dst[:n], x[:n], y[:n]) }},
		{"Weigh", n, func(k kernel) { copy(z, x[:n]); Weigh(z[:n]) }},
		{"Sum/4 rows", 4 * n, func(kernel) { Sum(&[4][]float32{x[:n], y[:n], z[:n], dst[:n]}) }},
		{"Rotate", n, func(kernel) { Rotate(z[:n], x[:dim/2], y[:dim/2]) }},
		{"Add", n, func(k kernel) { k.add(z[:n], x[:n]) }},
		{"AddProduct/keys/1 row", positions * dim, func(k kernel) { k.product(rows(scores, 1), queries, keys) }},
		{"AddProduct/keys/2 rows", 2 * positions * dim, func(k kernel) { k.product(rows(scores, 2), queries, keys) }},
		{"AddProduct/keys/16 rows", 16 * positions * dim, func(k kernel) { k.product(scores, queries, keys) }},
		{"AddProduct/values/2 rows", 2 * positions * dim, func(k kernel) { k.product(rows(means, 2), scores, held) }},
		{"AddProduct/values/16 rows", 16 * positions * dim, func(k kernel) { k.product(means, scores, held) }},
		{"ToInt8", n, func(kernel) { ToInt8(codes, x[:n]) }},
		{"FromInt8", n, func(k kernel) { k.fromInt8(dst[:n], codes) }},
		{"ToHalf", n, func(k kernel) { k.toHalf(halves, x[:n]) }},
		{"FromHalf", n, func(k kernel) { k.fromHalf(dst[:n], halves) }},
	} {
		for _, k := range []kernel{supported()[0], scalar} {
			name := "/vector"
			if k == scalar {
				name = "/scalar"
			}
			b.Run(loop.name+name, func(b *testing.B) {
				before := active
				active = k
				defer func() { active = before }()
				for b.Loop() {
					loop.run(k)
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*loop.values), "ns/value")
			})
		}
	}
}
