package files

import "strings"

// plain are keys that change the function of a decoder, with the one value that is supported besides null and absence.
// Some belong to other families than ours: where one is set, the folder is not what its model_type says.
var plain = map[string]any{
	"hidden_act":                  "silu",
	"hidden_activation":           "silu",
	"attention_bias":              false,
	"attention_out_bias":          false,
	"qkv_bias":                    false,
	"mlp_bias":                    false,
	"use_bias":                    false,
	"pretraining_tp":              1.0, // other values split the matmuls, which changes rounding
	"partial_rotary_factor":       1.0,
	"rope_interleaved":            false,
	"rope_local_base_freq":        nil,
	"use_mrope":                   false,
	"use_sliding_window":          false,
	"sliding_window_pattern":      nil,
	"attn_logit_softcapping":      nil,
	"final_logit_softcapping":     nil,
	"query_pre_attn_scalar":       nil,
	"attention_multiplier":        1.0,
	"embedding_multiplier":        1.0,
	"residual_multiplier":         1.0,
	"logits_scaling":              1.0,
	"logit_scale":                 1.0,
	"use_bidirectional_attention": false,
	"is_encoder_decoder":          false,
	"add_cross_attention":         false,
	"use_qk_norm":                 false,
	"qk_layernorm":                false,
	"clip_qkv":                    nil,
	"no_rope_layers":              nil,
	"attention_chunk_size":        nil,
	"num_experts":                 nil,
	"num_local_experts":           nil,
	"quantization_config":         nil,
	"auto_map":                    nil,
}

// advice completes the refusal of some of these keys.
var advice = map[string]string{
	"quantization_config": "the weights are quantized; use the unquantized model",
	"auto_map":            "the folder brings its own modelling code, which cannot be run here",
}

// read are the keys that ParseConfig and newTokenizer honour.
var read = set(`model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads
	num_key_value_heads head_dim max_position_embeddings rms_norm_eps rope_theta rope_parameters rope_scaling
	tie_word_embeddings sliding_window layer_types bitdistill bos_token_id eos_token_id pad_token_id`)

// harmless are keys that do not change the logits of a sequence: training, generation, bookkeeping.
var harmless = set(`architectures transformers_version dtype torch_dtype initializer_range use_cache attention_dropout
	hidden_dropout resid_pdrop embd_pdrop attn_pdrop mlp_dropout dropout classifier_dropout max_window_layers
	output_attentions output_hidden_states return_dict return_dict_in_generate output_scores torchscript use_bfloat16
	chunk_size_feed_forward id2label label2id num_labels problem_type finetuning_task task_specific_params
	tokenizer_class prefix sep_token_id cls_token_id unk_token_id decoder_start_token_id is_decoder tie_encoder_decoder
	cross_attention_hidden_size pruned_heads tf_legacy_loss max_length min_length do_sample early_stopping num_beams
	num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty
	no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences forced_bos_token_id
	forced_eos_token_id remove_invalid_values exponential_decay_length_penalty suppress_tokens
	begin_suppress_tokens use_flash_attn attn_implementation transformers.js_config unsloth_version unsloth_fixed
	model_max_length name_or_path cache_implementation`)

func set(words string) map[string]bool {
	s := map[string]bool{}
	for _, w := range strings.Fields(words) {
		s[w] = true
	}
	return s
}
