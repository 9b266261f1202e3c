// Package arch describes decoders: what function a model's weights are of ([Config], with its family's traits, the scaling of its
// rotary embedding and the quantization of its linears) and what tensors it has ([Config.Tensors]).
//
// All that computes with a model reads the same description: the graphs of bitnet/decoder, which training uses, and engines that know
// nothing of GoMLX. So nothing here imports GoMLX. How config.json spells a description belongs to bitnet/hf, how it is computed to
// bitnet/decoder, and how a quantizer works to bitnet.
//
// Files: config.go has the description, family.go and a file a family what families change, tensors.go the table of tensors, rope.go
// the rotary embedding, quantization.go the quantizers' names.
package arch
