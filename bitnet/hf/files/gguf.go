package files

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// ggufModelTypes are the architectures of GGUF files that can be read, and their names in a config.json.
var ggufModelTypes = map[string]arch.Family{
	"llama": arch.Llama, "qwen2": arch.Qwen2, "qwen3": arch.Qwen3, "gemma3": arch.Gemma3,
}

// openGGUF reads all of a GGUF file but its weights. Its metadata become the files that a folder would have, so that all that
// is checked there is checked here, and Save leaves a complete folder.
func openGGUF(path string) (*Model, *Weights, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	m := &Model{files: map[string][]byte{}, path: path, gguf: true}
	w, err := m.readGGUF(path, file)
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return m, w, nil
}

func (m *Model) readGGUF(path string, file *gguf.File) (*Weights, error) {
	g := &ggufConfig{meta: file.Metadata(), file: file, config: map[string]any{}}
	g.read()
	if len(g.faults) > 0 {
		return nil, &FileError{Path: path, Faults: shorten(g.faults)}
	}
	tokens, err := ggufTokenizer(g.meta)
	if err != nil {
		return nil, &FileError{Path: path, Faults: flatten(err)}
	}
	for name, id := range tokens.ids {
		g.config[name] = id
	}
	if m.config, err = json.Marshal(g.config); err != nil {
		return nil, err
	}
	if m.files[tokenizerName], err = json.Marshal(tokens.tokenizer); err != nil {
		return nil, err
	}
	if m.files[tokenizerConfigName], err = json.Marshal(tokens.config); err != nil {
		return nil, err
	}
	if err := m.parse(path); err != nil {
		return nil, err
	}
	w := &Weights{path: path, home: map[string]shard{}}
	w.put(shard{path, newGGUFTensors(file, m.Config)})
	return w, w.check(m.Config)
}

// ggufConfig makes a config.json of metadata.
type ggufConfig struct {
	meta   *gguf.Metadata
	file   *gguf.File
	arch   string
	known  []string // keys of the architecture that were read, or that change nothing
	config map[string]any
	faults []error
}

func (g *ggufConfig) fault(format string, args ...any) {
	g.faults = append(g.faults, fmt.Errorf(format, args...))
}

// key is a key of the architecture, which from now on counts as read.
func (g *ggufConfig) key(name string) (string, bool) {
	key := g.arch + "." + name
	g.known = append(g.known, key)
	return key, g.meta.Has(key)
}

// integer reads a key that may be absent if it has a default.
func (g *ggufConfig) integer(name string, otherwise ...int) int {
	key, ok := g.key(name)
	if !ok && len(otherwise) > 0 {
		return otherwise[0]
	}
	v, err := g.meta.Int(key)
	if err != nil {
		g.faults = append(g.faults, err)
	}
	return v
}

// float reads a key that may be absent if it has a default. Files hold float32, and the number meant is its shortest spelling.
func (g *ggufConfig) float(name string, otherwise ...float64) float64 {
	key, ok := g.key(name)
	if !ok && len(otherwise) > 0 {
		return otherwise[0]
	}
	v, err := g.meta.Float(key)
	if err != nil {
		g.faults = append(g.faults, err)
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', -1, 32), 64)
	if err != nil {
		return v
	}
	return short
}

func (g *ggufConfig) read() {
	var err error
	if g.arch, err = gguf.Get[string](g.meta, "general.architecture"); err != nil {
		g.faults = append(g.faults, err)
		return
	}
	if n, err := g.meta.Int("split.count"); err == nil && n > 1 {
		g.fault("split.count: the model is split into %d files, which is not supported; join them with llama-gguf-split --merge", n)
	}
	family, ok := ggufModelTypes[g.arch]
	if !ok {
		g.fault("general.architecture: %q is not supported; supported are gemma3, llama, qwen2, qwen3", g.arch)
		return
	}
	heads, hidden := g.integer("attention.head_count"), g.integer("embedding_length")
	headDim := g.integer("attention.key_length", hidden/max(heads, 1))
	if v := g.integer("attention.value_length", headDim); v != headDim {
		g.fault("%s.attention.value_length: %d differs from key_length %d, which is not supported", g.arch, v, headDim)
	}
	if v := g.integer("rope.dimension_count", headDim); v != headDim {
		g.fault("%s.rope.dimension_count: %d, want the width of a head, %d", g.arch, v, headDim)
	}
	vocab := 0
	if info, ok := g.file.Info("token_embd.weight"); ok {
		vocab = info.Shape[0]
	}
	_, untied := g.file.Info("output.weight")
	g.config = map[string]any{
		"model_type": family, "architectures": []string{architectures[family]}, "vocab_size": vocab,
		"hidden_size": hidden, "head_dim": headDim, "num_attention_heads": heads, "torch_dtype": "float32",
		"num_key_value_heads":     g.integer("attention.head_count_kv", heads),
		"num_hidden_layers":       g.integer("block_count"),
		"intermediate_size":       g.integer("feed_forward_length"),
		"max_position_embeddings": g.integer("context_length"),
		"rms_norm_eps":            g.float("attention.layer_norm_rms_epsilon"),
		"tie_word_embeddings":     !untied,
	}
	if family == arch.Gemma3 {
		g.gemma3(heads, hidden, headDim)
	} else {
		g.config["hidden_act"] = "silu"
		g.config["rope_theta"] = g.float("rope.freq_base", 10_000)
		g.ropeScaling()
	}
	g.rest()
}

// gemma3 reads what only that family has. The file does not say what scores are divided by: it is the width of a head, but for the
// 27B model, whose heads are narrower than its queries' share of the width.
func (g *ggufConfig) gemma3(heads, hidden, headDim int) {
	const layersOf27B = 62
	scalar := headDim
	if g.config["num_hidden_layers"] == layersOf27B {
		scalar = hidden / max(heads, 1)
	}
	g.config["query_pre_attn_scalar"] = scalar
	g.config["hidden_activation"] = geluTanh
	g.config["sliding_window"] = g.integer("attention.sliding_window")
	g.config["sliding_window_pattern"] = g.integer("attention.sliding_window_pattern", 6)
	g.config["rope_theta"] = g.float("rope.freq_base", 1_000_000)
	g.config["rope_local_base_freq"] = g.float("rope.freq_base_swa", 10_000)
	g.ropeScaling()
}

// ropeScaling reads linear scaling from the metadata and Llama 3's from its tensor of factors.
func (g *ggufConfig) ropeScaling() {
	kind := "none"
	if key, ok := g.key("rope.scaling.type"); ok {
		var err error
		if kind, err = gguf.Get[string](g.meta, key); err != nil {
			g.faults = append(g.faults, err)
			return
		}
	}
	factor := g.float("rope.scaling.factor", 1)
	switch kind {
	case "none":
	case "linear":
		g.config["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
	default:
		g.fault("%s.rope.scaling.type: %q is not supported; supported are none, linear", g.arch, kind)
	}
	if _, ok := g.file.Info(ropeFactors); ok {
		g.llama3()
	}
}

// ropeFactors is the tensor by which GGUF files divide the frequencies of Llama 3's rotary embedding.
const ropeFactors = "rope_freqs.weight"

// llama3 finds the scaling whose factors the file holds among the published ones: they differ in the factor alone.
func (g *ggufConfig) llama3() {
	got, err := g.file.Float32s(ropeFactors)
	if err != nil {
		g.faults = append(g.faults, err)
		return
	}
	dim, theta := g.config["head_dim"].(int), g.config["rope_theta"].(float64)
	for _, factor := range []float64{8, 32} {
		s := arch.RopeScaling{Type: arch.RopeLlama3, Factor: factor, LowFreqFactor: 1, HighFreqFactor: 4, OriginalPositions: 8192}
		same := len(got) == dim/2
		for i := 0; same && i < len(got); i++ {
			f := math.Pow(theta, -float64(2*i)/float64(dim))
			want := f / s.Frequency(f)
			same = math.Abs(float64(got[i])-want) <= 1e-4*want
		}
		if same {
			g.config["rope_scaling"] = map[string]any{"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0,
				"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
			return
		}
	}
	g.fault("%s: not the factors of Llama 3.1 or 3.2; others are not supported", ropeFactors)
}

// rest refuses what is said of the architecture and was not read.
func (g *ggufConfig) rest() {
	g.known = append(g.known, g.arch+".vocab_size", g.arch+".rope.scaling.original_context_length", g.arch+".rope.scaling.finetuned")
	for _, kv := range g.meta.Entries() {
		if strings.HasPrefix(kv.Key, g.arch+".") && !slices.Contains(g.known, kv.Key) {
			g.fault("%s: %v is not supported", kv.Key, kv.Value)
		}
	}
}
