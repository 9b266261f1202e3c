package arch

// qwen3 (Qwen team 2025) has an RMSNorm on every query and key head and, unlike Qwen2, no biases.
var qwen3 = traits{qkNorm: true, activation: SiLU}
