"""What transformers computes of the GGUF files that scripts/models.sh fetches, for the tests with the tag "models".

    gguf_reference.py MODELS TEXT OUT

MODELS is the folder of scripts/models.sh, TEXT wikitext2_raw_valid.txt.gz, OUT a folder for smollm2.safetensors and gemma3.safetensors.
Needs torch 2.15.0, transformers 5.23.0, gguf 0.19.0, accelerate, safetensors.
"""
import gzip, os, sys
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

models, text_path, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
text = gzip.open(text_path, "rt", encoding="utf-8", newline="").read()

for name, file, count in (
    ("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", 20000),
    ("gemma3", "gemma-3-270m-q4_k_m.gguf", 4096),
):
    folder = os.path.join(models, name)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    prompt = torch.tensor([tokenizer("The capital of France is")["input_ids"]])
    ids = torch.tensor(tokenizer(text[:120_000])["input_ids"][:count])
    with torch.no_grad():
        logits = model(ids[None, :64]).logits[0]
        total, predictions = 0.0, 0
        for start in range(0, count - 511, 512):
            window = ids[None, start : start + 512]
            log_probabilities = model(window).logits[0, :-1].double().log_softmax(-1)
            total -= log_probabilities.gather(-1, window[0, 1:, None]).sum().item()
            predictions += 511
        greedy = model.generate(prompt, max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0)[0]
    print(name, "nll", total / predictions, "perplexity", torch.tensor(total / predictions).exp().item(), tokenizer.decode(greedy))
    save_file({
        "ids": ids.int(), "logits": logits.contiguous(), "greedy": greedy.int(), "prompt": prompt[0].int(),
        "nll": torch.tensor([total / predictions], dtype=torch.float64),
    }, os.path.join(out, name + ".safetensors"))
