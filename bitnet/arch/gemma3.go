package arch

// gemma3 (Gemma team 2025) scales its embeddings, has four norms a block whose weights are stored less 1, a norm on every query
// and key head, and layers that look at a window with rotary embeddings of another base.
var gemma3 = traits{
	qkNorm: true, postNorms: true, normOffset: 1, embedScale: true, sliding: true, activation: GELUTanh,
}
