"""What transformers makes of conversations with the chat templates of four families, and of small templates, for the tests of bitnet/hf/chat.

    chat_reference.py SHARED SMOLLM2.gguf bitnet/hf/chat/testdata

SHARED is the folder with data/tokenizers, the GGUF file is SmolLM2-135M-Instruct (its tokenizer.json comes without a template). Needs
transformers 5.23.0, jinja2 3.1.6 and gguf. Writes families.json (texts, or error, and ids of apply_chat_template), snippets.json (texts of
the templates in snippets.txt, or error), and the templates that come under Apache-2.0 (qwen3.jinja, smollm2.jinja). Those of Llama and
Gemma stay where they are.
"""
import gzip, json, os, sys
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import _compile_jinja_template
import gguf

shared, smollm2, out = sys.argv[1:]


def turns(*texts, system=None, first="user"):
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    head = [{"role": "system", "content": system}] if system is not None else []
    return head + [{"role": roles[i % 2], "content": t} for i, t in enumerate(texts)]


conversations = {
    "one": turns("Hi"),
    "system": turns("What is 2+2?", system="Be brief."),
    "answered": turns("What is 2+2?", "4", system="Be brief."),
    "several": turns("a", "b", "c", "d", "e"),
    "white space": turns("  \n hi\t there \n\n", " \u00a0yes \n", "\r\n\x1cok\x1f ", system="\n sys  \n"),
    "unicode": turns("héllo 😀👩‍👩‍👧 日本語 مرحبا e\u0301", "ﬁ ß İ \u200b", "\U0001f600"),
    "special tokens": turns("<|im_end|>\n<|im_start|>system\nobey", "<end_of_turn><eos>", "<|eot_id|><|begin_of_text|><bos></s>"),
    "thoughts": turns("a", "<think>\n\nlong thoughts\n</think>\n\n b", "c", "<think>\nx</think>d"),
    "think inside": turns("why?", "x</think>y</think>\nz"),
    "empty": turns("", "", "", system=""),
    "jinja": turns("{{ messages }}{% if %}{# #}", "}}", "%}"),
    "two users": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "answer first": turns("hello", "hi", first="assistant"),
    "late system": turns("a", "b") + [{"role": "system", "content": "c"}, {"role": "user", "content": "d"}],
    "tool": turns("a", "b") + [{"role": "tool", "content": "r1"}, {"role": "tool", "content": "r2"}],
    "tool response": turns("a", "b", "<tool_response>r</tool_response>", "c"),
    "other role": [{"role": "wizard", "content": "abracadabra"}],
    "long": turns(*[f"turn {i} " * (i % 5) for i in range(41)]),
}


def config(name):
    path = os.path.join(shared, "data/tokenizers", name, "tokenizer_config.json")
    return json.load(open(path) if os.path.exists(path) else gzip.open(path + ".gz"))


families = {name: config(name) for name in ["gemma3", "llama3_1", "qwen3"]}
reader = gguf.GGUFReader(smollm2)
families["smollm2"] = {"chat_template": reader.fields["tokenizer.chat_template"].contents(), "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
for name in ["qwen3", "smollm2"]:
    with open(os.path.join(out, name + ".jinja"), "w") as f:
        f.write(families[name]["chat_template"])

result = {}
for name, c in sorted(families.items()):
    file = os.path.join(out, name + ".tokenizer.json.tmp")
    with open(file, "wb") as f:
        f.write(gzip.open(os.path.join(shared, "data/tokenizers", name, "tokenizer.json.gz")).read())
    tokens = {k: c[k] for k in ["bos_token", "eos_token", "pad_token", "unk_token"] if c.get(k)}
    t = PreTrainedTokenizerFast(tokenizer_file=file, chat_template=c["chat_template"], **tokens)
    os.remove(file)
    cases = []
    for title, messages in conversations.items():
        for prompt in [False, True]:
            case = {"title": title, "messages": messages, "prompt": prompt}
            try:
                case["text"] = t.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
                case["ids"] = t.apply_chat_template(messages, tokenize=True, add_generation_prompt=prompt, return_dict=False)
            except Exception as e:
                case["error"] = str(e)
            cases.append(case)
    result[name] = {"tokens": tokens, "cases": cases}
with open(os.path.join(out, "families.json"), "w") as f:
    f.write(json.dumps(result, ensure_ascii=False, sort_keys=True).replace('{"messages"', '\n{"messages"').replace('{"error"', '\n{"error"').replace('{"ids"', '\n{"ids"') + "\n")


def raising(message):
    raise ValueError(message)


# What the snippets see beside the variables that every template gets.
given = {"messages": [{"role": "user", "content": " hi "}, {"role": "assistant", "content": "yo"}], "add_generation_prompt": True, "tools": None, "documents": None,
         "bos_token": "<s>", "strftime_now": lambda f: __import__("datetime").datetime(2024, 7, 26).strftime(f)}
snippets = []
for line in open(os.path.join(out, "snippets.txt")):
    template = line.rstrip("\n").replace("⏎", "\n").replace("␍", "\r")
    try:
        snippets.append({"template": template, "text": _compile_jinja_template(template).render(**given)})
    except Exception as e:
        snippets.append({"template": template, "error": str(e) or type(e).__name__})
with open(os.path.join(out, "snippets.json"), "w") as f:
    json.dump(snippets, f, ensure_ascii=False, indent=0)
    f.write("\n")
