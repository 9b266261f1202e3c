// Package bitnet holds what makes a network a 1.58-bit one: the quantizers of weights and activations, the linear layer that
// multiplies ternary weights with int8 activations and still trains (straight-through estimator), and SubLN, the norm in
// front of it. All of it is graph functions on GoMLX nodes.
//
// What does not belong here: attention, blocks and whole models (bitnet/decoder), files (bitnet/hf), losses and training
// (distill).
//
// # The straight-through estimator
//
// Rounding has no useful derivative, so a quantizer Q passes the gradient through as if it were the identity. The form that
// does this is x + stop_gradient(Q(x) - x): its value is Q(x), its derivative 1. Applied to activations and weights
// alike it gives, for Y = Q(X)·Q(W)ᵀ with W as [out, in] and G = dL/dY,
//
//	dL/dX = G·Q(W)      dL/dW = Gᵀ·Q(X)
//
// Some descriptions of BitNet instead detach the whole quantized product and add a residual path to carry the gradient,
// Y = stop_gradient(Q(X)·Q(W)ᵀ) + (X - stop_gradient(X))·P, or simply Y = stop_gradient(Q(X)·Q(W)ᵀ) + X when the widths
// agree. Whatever is added, W does not occur in it: dL/dW is exactly zero and the weights never learn, and dL/dX is
// G times the residual's matrix instead of G times the weights the forward pass has used. TestResidualPathGivesNoGradient
// shows both.
package bitnet
