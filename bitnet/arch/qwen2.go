package arch

// qwen2 (Qwen team 2024, also of Qwen2.5) has biases on queries, keys and values.
var qwen2 = traits{
	biases:     []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
	activation: SiLU,
}
