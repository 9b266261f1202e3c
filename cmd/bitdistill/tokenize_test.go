package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
)

func TestTokenize(t *testing.T) {
	text := write(t, "corpus.txt", story(400))
	whole, parts := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "parts")
	args := func(out string, more ...string) []string {
		return append([]string{"tokenize", "--model", distill.Embedded, "--corpus", text, "--corpus", distill.Embedded, "--out", out}, more...)
	}
	r := call(t, args(whole, "--json")...)
	r.want(t, exitDone, "100.0 %", "MB/s", "Tokens=")
	var info data.TokenizedInfo
	r.decode(t, &info)
	if len(info.Sources) != 2 || info.Tokens == 0 {
		t.Errorf("%+v", info)
	}
	call(t, args(parts, "--shard", "2/2")...).want(t, exitDone, "shard 2/2 is done", "--merge")
	call(t, "tokenize", "--out", parts, "--merge").want(t, exitInput, "cannot be merged yet")
	call(t, args(parts, "--shard", "1/2")...).want(t, exitDone)
	call(t, "tokenize", "--out", parts, "--merge").want(t, exitDone)
	for _, name := range []string{"corpus.json", "00000.tokens", "00000.ends"} {
		one, err := os.ReadFile(filepath.Join(whole, name))
		check(t, err)
		two, err := os.ReadFile(filepath.Join(parts, name))
		check(t, err)
		if !bytes.Equal(one, two) {
			t.Errorf("%s is not the same for 1 and 2 shards", name)
		}
	}
	// What takes text says what it is.
	call(t, "tokenize", "--model", distill.Embedded, "--corpus", whole, "--out", filepath.Join(t.TempDir(), "again")).
		want(t, exitInput, whole+": is a corpus that was tokenized already; run --corpus takes it as it is")
	call(t, "perplexity", "--model", distill.Embedded, "--data", whole).want(t, exitInput, whole+" is a corpus that was tokenized; perplexity reads text")
	// run takes it, beside text or in a mixture.
	own := append(ownData(t, filepath.Join(t.TempDir(), "run")), "--dry-run")
	call(t, append(own, "--corpus", whole)...).want(t, exitDone)
	call(t, append(own, "--corpus", whole+"=2")...).want(t, exitInput, "every part has a weight")
	for i, a := range own {
		if a == "--corpus" {
			own[i+1] += "=1"
		}
	}
	mixed := call(t, append(own, "--corpus", whole+"=2")...)
	mixed.want(t, exitDone)
	if !strings.Contains(mixed.out, "whole=2") {
		t.Errorf("the plan does not show the mixture:\n%s", mixed.out)
	}
}

func TestTokenizeBadInput(t *testing.T) {
	text, out := write(t, "corpus.txt", story(4)), filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"--corpus", text, "--out", out}, []string{"--model"}},
		{[]string{"--model", distill.Embedded, "--out", out}, []string{"--corpus"}},
		{[]string{"--model", distill.Embedded, "--corpus", text}, []string{"--out"}},
		{[]string{"--model", distill.Embedded, "--corpus", text, "--out", out, "--shard", "3/2"}, []string{"--shard", "3/2"}},
		{[]string{"--model", distill.Embedded, "--corpus", text, "--out", out, "--shard", "half"}, []string{"--shard", "half"}},
		{[]string{"--model", distill.Embedded, "--corpus", text + ".pdf", "--out", out}, []string{"corpus.txt.pdf"}},
		{[]string{"--model", filepath.Join(out, "none"), "--corpus", text, "--out", out}, []string{"none"}},
		{[]string{"--model", distill.Embedded, "--corpus", write(t, "bad.jsonl", "{}"), "--out", out}, []string{"bad.jsonl", "line 1"}},
	} {
		call(t, append([]string{"tokenize"}, c.args...)...).want(t, exitInput, c.words...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	callWith(t, ctx, &bytes.Buffer{}, "tokenize", "--model", distill.Embedded, "--corpus", text, "--out", filepath.Join(t.TempDir(), "new")).
		want(t, exitInterrupted, "same command")
}
