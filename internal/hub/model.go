package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

const (
	configName  = "config.json"
	weightsName = "model.safetensors"
	indexName   = "model.safetensors.index.json"
	maxSmall    = 256 << 20 // bytes of a file that by its name holds no weights
	maxShards   = 1000
)

// optional are the files beside config and weights that belong to a model.
var optional = []string{
	"generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
	"added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
}

// Model brings what a model needs into the cache and returns the folder with
// it, or for an id like owner/name/file.gguf that file: what bitnet/hf loads.
// That is config.json, the weights in safetensors, and what there is of
// tokenizer, chat template and generation defaults.
func (r *Repo) Model(ctx context.Context) (string, error) {
	if r.id.File != "" {
		return r.file(ctx)
	}
	names, err := r.modelFiles(ctx)
	if err != nil {
		return "", err
	}
	return r.Fetch(ctx, names...)
}

// Tokenizer is Model without the weights, unless they are in one file with it.
func (r *Repo) Tokenizer(ctx context.Context) (string, error) {
	if r.id.File != "" {
		return r.file(ctx)
	}
	names, err := r.smallFiles()
	if err != nil {
		return "", err
	}
	return r.Fetch(ctx, names...)
}

// file brings the file that the id names.
func (r *Repo) file(ctx context.Context) (string, error) {
	folder, err := r.Fetch(ctx, r.id.File)
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, filepath.FromSlash(r.id.File)), nil
}

// smallFiles names the files of a model that are not its weights.
func (r *Repo) smallFiles() ([]string, error) {
	if !r.has(configName) {
		return nil, r.noModel(configName)
	}
	return append([]string{configName}, r.present(optional)...), nil
}

// modelFiles names the files of a model, small ones first. To know the shards
// it fetches their index.
func (r *Repo) modelFiles(ctx context.Context) ([]string, error) {
	names, err := r.smallFiles()
	if err != nil {
		return nil, err
	}
	if r.has(weightsName) {
		return append(names, weightsName), nil
	}
	if !r.has(indexName) {
		return nil, r.noModel(weightsName + " and no " + indexName)
	}
	names = append(names, indexName)
	if err := r.fetch(ctx, nil, []string{indexName}); err != nil {
		return nil, err
	}
	shards, err := r.shards()
	return append(names, shards...), err
}

// limit is how many bytes a file of this name may have.
func (r *Repo) limit(name string) int64 {
	if r.kind == Models && slices.Contains([]string{".json", ".txt", ".jinja", ".model"}, filepath.Ext(name)) {
		return maxSmall
	}
	return maxTotal
}

// shards reads the index.
func (r *Repo) shards() ([]string, error) {
	path := filepath.Join(r.Folder(), indexName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	names := slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
	if len(names) == 0 || len(names) > maxShards {
		return nil, fmt.Errorf("%s: weight_map: names %d files, 1 to %d are supported", path, len(names), maxShards)
	}
	for _, name := range names {
		if r.has(name) {
			continue
		}
		if r.absent != nil {
			return nil, r.notCached(r.id.repo() + "/" + name)
		}
		return nil, kindErrorf(ErrNotFound, "%s: %s names the shard %s, which the repository lacks", r.id, indexName, tensorfile.Quote(name))
	}
	return names, nil
}

// noModel says that a file is missing, and what is there in its place.
func (r *Repo) noModel(missing string) error {
	if r.absent != nil {
		return r.notCached(r.id.repo() + "/" + missing)
	}
	hint := ""
	if quantized, _ := r.Match("*.gguf"); len(quantized) > 0 {
		hint = fmt.Sprintf("; it has GGUF files, of which one can be named: %s/%s", r.id.repo(), strings.Join(quantized[:min(len(quantized), 8)], ", "))
	} else if pickled, _ := r.Match("*.bin"); len(pickled) > 0 {
		hint = fmt.Sprintf("; %s must be converted to safetensors first", pickled[0])
	}
	return kindErrorf(ErrNotFound, "%s: has no %s%s", r.id, missing, hint)
}

func (r *Repo) has(name string) bool { _, ok := r.find(name); return ok }

// present keeps the names that the repository has.
func (r *Repo) present(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !r.has(name) })
}
