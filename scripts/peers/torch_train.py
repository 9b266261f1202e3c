"""The training step of `bitdistill bench train` as a PyTorch program, to be measured beside it.

    OMP_WAIT_POLICY=passive torch_train.py PROGRAM.json eager|compile|bf16

PROGRAM.json is distill.BenchProgram with "threads", "device" (cpu or cuda) and "wait". Student and teacher have random weights, sequences
random ids. Needs torch 2.15.0 (a full install or a CPU build) and, for compile, a C++ compiler.

Before each repetition a line {"ready": true} goes to stdout; with "wait" a line on stdin is awaited then. The last line is a
distill.BenchResult.

With "check", an object of "student", "teacher" (safetensors files), "ids" and "targets" ([batch, length], -100 where nothing is to be
predicted), nothing is measured: the losses and the norm of the gradient of as many steps as "steps" says on that one batch go to stdout.

The step: forward and backward pass of the ternary student (BitLinear with straight-through estimator, SubLN), in stage 3 of the teacher
without a gradient too; cross entropy, logits distillation and attention relations; clipping by the global norm; AdamW.
"""
import json, math, sys, time

import torch
import torch.nn.functional as F
from torch import nn


class QuantizeWeights(torch.autograd.Function):
    """absmean ternary weights; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, w):
        scale = w.abs().mean().clamp_(min=1e-5)
        return (w / scale).round_().clamp_(-1, 1).mul_(scale)

    @staticmethod
    def backward(ctx, grad):
        return grad


class QuantizeActivations(torch.autograd.Function):
    """int8 activations with a scale per token; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, x):
        scale = 127 / x.abs().amax(-1, keepdim=True).clamp_(min=1e-5)
        return (x * scale).round_().div_(scale)

    @staticmethod
    def backward(ctx, grad):
        return grad


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps)


class Linear(nn.Module):
    """A projection of a block. Its input is quantized by the caller, once for all projections that share it."""

    def __init__(self, width, out, ternary, subln_eps):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, width).uniform_(-1, 1).mul_(math.sqrt(3 / width)))
        self.ternary = ternary
        self.norm = RMSNorm(width, subln_eps) if subln_eps else None

    def forward(self, x):
        return F.linear(x, QuantizeWeights.apply(self.weight) if self.ternary else self.weight)


def project(x, *linears):
    shared = None
    outs = []
    for l in linears:
        if l.norm is not None or shared is None:
            shared = x if l.norm is None else l.norm(x)
            if l.ternary:
                shared = QuantizeActivations.apply(shared)
        outs.append(l(shared))
    return outs


class Attention(nn.Module):
    def __init__(self, c, linear):
        super().__init__()
        self.heads, self.kv_heads, self.width = c["Heads"], c["KVHeads"], c["HeadDim"]
        self.q_proj = linear(c["HiddenSize"], self.heads * self.width)
        self.k_proj = linear(c["HiddenSize"], self.kv_heads * self.width)
        self.v_proj = linear(c["HiddenSize"], self.kv_heads * self.width)
        self.o_proj = linear(self.heads * self.width, c["HiddenSize"], last=True)
        norm = c["Family"] == "qwen3"
        self.q_norm = RMSNorm(self.width, c["NormEps"]) if norm else nn.Identity()
        self.k_norm = RMSNorm(self.width, c["NormEps"]) if norm else nn.Identity()

    def forward(self, x, rope):
        b, n, _ = x.shape
        q, k, v = (y.view(b, n, -1, self.width) for y in project(x, self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(self.q_norm(q), rope).transpose(1, 2), rotate(self.k_norm(k), rope).transpose(1, 2)
        v = v.transpose(1, 2)
        y = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        return project(y.transpose(1, 2).reshape(b, n, -1), self.o_proj)[0], (q, k, v)


def rotate(x, rope):
    cos, sin = rope
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class FeedForward(nn.Module):
    def __init__(self, c, linear):
        super().__init__()
        self.gate_proj = linear(c["HiddenSize"], c["IntermediateSize"])
        self.up_proj = linear(c["HiddenSize"], c["IntermediateSize"])
        self.down_proj = linear(c["IntermediateSize"], c["HiddenSize"], last=True)

    def forward(self, x):
        gate, up = project(x, self.gate_proj, self.up_proj)
        return project(F.silu(gate) * up, self.down_proj)[0]


class Block(nn.Module):
    def __init__(self, c, linear):
        super().__init__()
        self.input_layernorm = RMSNorm(c["HiddenSize"], c["NormEps"])
        self.self_attn = Attention(c, linear)
        self.post_attention_layernorm = RMSNorm(c["HiddenSize"], c["NormEps"])
        self.mlp = FeedForward(c, linear)

    def forward(self, x, rope):
        y, state = self.self_attn(self.input_layernorm(x), rope)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), state


class Decoder(nn.Module):
    def __init__(self, c, length):
        super().__init__()
        quantization = c["Quantization"]
        ternary, where = quantization["weights"] != "none", quantization["subln"]
        if quantization["weights"] not in ("none", "absmean") or not c["TieEmbeddings"] or c["Family"] not in ("llama", "qwen3"):
            sys.exit("torch_train.py: only absmean weights, and Llama and Qwen3 with a tied head, are written here")

        def linear(width, out, last=False):
            return Linear(width, out, ternary, quantization["subln_eps"] if where == "all" or where == "output" and last else 0)

        self.embed_tokens = nn.Embedding(c["VocabSize"], c["HiddenSize"])
        nn.init.uniform_(self.embed_tokens.weight, -1, 1).data.mul_(math.sqrt(3 / c["HiddenSize"]))
        self.layers = nn.ModuleList(Block(c, linear) for _ in range(c["Layers"]))
        self.norm = RMSNorm(c["HiddenSize"], c["NormEps"])
        half = c["HeadDim"] // 2
        angle = torch.arange(length)[:, None] * (1 / c["RopeTheta"] ** (torch.arange(half) / half))
        angle = torch.cat((angle, angle), -1)[None, :, None]
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, ids, state_of, last=None):
        """Logits of all positions, or of those before the last ones, and the state of a layer."""
        x, state = self.embed_tokens(ids), None
        for i, layer in enumerate(self.layers):
            x, s = layer(x, (self.cos, self.sin))
            if i == state_of:
                state = s
        if last is not None:
            x = x[:, -1 - last:-1]
        return F.linear(self.norm(x), self.embed_tokens.weight), state


def relations(student, teacher, r):
    """Sum over Q, K and V of the mean divergence of the relations, KL(teacher || student)."""
    if r["variant"] != "l2":
        sys.exit("torch_train.py: only relations of the variant l2 are written here")
    total = 0
    for s, t, alpha in zip(student, teacher, r["alpha"]):
        def log_relation(x):  # [batch, heads, length, width]
            b, _, n, _ = x.shape
            x = x.transpose(1, 2).reshape(b, n, r["split_heads"], -1).transpose(1, 2)
            x = F.normalize(x.float(), dim=-1)
            return (x @ x.transpose(-1, -2) / r["temperature"]).log_softmax(-1)

        p, q = log_relation(s), log_relation(t)
        rows = p.shape[0] * p.shape[1] * p.shape[2]
        total = total + alpha * F.kl_div(p, q, log_target=True, reduction="sum") / rows
    return total / r["split_heads"] if r["normalisation"] == "reference" else total


class Objective(nn.Module):
    """The losses of a batch: total, cross entropy, logits distillation, relations."""

    def __init__(self, program, student, teacher, autocast):
        super().__init__()
        self.student, self.loss, self.autocast, self.device = student, program["loss"], autocast, program["device"]
        self.teacher = [teacher]  # hidden, so that its weights are no parameters
        self.last = None
        if program["stage"] == 3 and not program["every_position"]:
            self.last = program["answer"]

    def run(self, model, ids):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            return model(ids, self.loss["layer"] if self.loss["gamma"] > 0 else None, self.last)

    def forward(self, ids, targets):
        logits, state = self.run(self.student, ids)
        logits = logits.float()
        if self.last is not None:
            targets = targets[:, -1 - self.last:-1]
        ce = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
        teacher = self.teacher[0]
        if teacher is None:
            return ce, ce, ce * 0, ce * 0
        with torch.no_grad():
            teacher_logits, teacher_state = self.run(teacher, ids)
        total, ld, ad = ce, ce * 0, ce * 0
        if self.loss["lambda"] > 0:
            tau = self.loss["logits"]["tau"]
            p, q = ((x.flatten(0, 1) / tau).log_softmax(-1) for x in (logits, teacher_logits.float()))
            ld = F.kl_div(p, q, log_target=True, reduction="batchmean")
            if self.loss["logits"]["tau_squared"]:
                ld = ld * tau**2
            total = total + self.loss["lambda"] * ld
        if self.loss["gamma"] > 0:
            ad = relations(state, teacher_state, self.loss["relations"])
            total = total + self.loss["gamma"] * ad
        return total, ce, ld, ad


class Trainer:
    def __init__(self, program, mode):
        t = program["training"]
        self.program, self.device = program, program["device"]
        self.student = Decoder(program["student"], program["length"]).to(self.device)
        teacher = None
        if program["stage"] == 3:
            teacher = Decoder(program["teacher"], program["length"]).to(self.device).requires_grad_(False)
        else:
            program["loss"] = {"gamma": 0, "lambda": 0}
        self.teacher = teacher
        self.objective = Objective(program, self.student, teacher, mode == "bf16")
        if mode == "compile":
            self.objective = torch.compile(self.objective)
        matrices = [p for n, p in self.student.named_parameters() if p.dim() == 2 and (t["decay_embeddings"] or "embed" not in n)]
        decayed = {id(p) for p in matrices}
        others = [p for p in self.student.parameters() if id(p) not in decayed]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": t["weight_decay"]}, {"params": others, "weight_decay": 0.0}],
            lr=t["learning_rate"], betas=(t["beta1"], t["beta2"]), eps=t["epsilon"], fused=True)
        self.clip, self.parts = t["clip_norm"], max(1, t["micro_batches"])

    def step(self, ids, targets):
        """A step of the training; its losses and the norm of the gradient."""
        losses = 0
        for i, t in zip(ids.chunk(self.parts), targets.chunk(self.parts)):
            part = torch.stack(self.objective(i, t)) / self.parts  # all parts have as many targets
            part[0].backward()
            losses = losses + part.detach()
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return losses.tolist(), norm.item()

    def batch(self):
        p = self.program
        ids = torch.randint(p["student"]["VocabSize"], (p["batch"], p["length"]))
        targets = F.pad(ids[:, 1:], (0, 1), value=-100)
        if p["stage"] == 3:
            targets[:, :-1 - p["answer"]] = -100
        return ids.to(self.device), targets.to(self.device)


def peak_memory():
    """Bytes that were resident at most; what getrusage says may be the parent's."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM:"))


def matmul_speed(device, dtype):
    """1e9 operations a second in the fastest of some products."""
    x = torch.randn(1024, 1024, device=device, dtype=dtype)
    best, end = math.inf, time.perf_counter() + 0.5
    with torch.no_grad():
        while time.perf_counter() < end:
            start = time.perf_counter()
            (x @ x)[0, 0].item()
            best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best / 1e9


def measure(program, mode):
    result = {"engine": "torch " + mode, "seconds": [], "compilations": 0, "outside": None}
    result["gflops"] = matmul_speed(program["device"], torch.float32)
    result["gflops_bfloat16"] = matmul_speed(program["device"], torch.bfloat16)
    trainer = Trainer(program, mode)
    start = time.perf_counter()
    result["first_loss"] = trainer.step(*trainer.batch())[0][0]
    result["first_step_s"] = time.perf_counter() - start
    trainer.step(*trainer.batch())
    for _ in range(program["repetitions"]):
        print(json.dumps({"ready": True}), flush=True)
        if program["wait"] and not sys.stdin.readline():
            sys.exit("torch_train.py: told to stop")
        start = time.perf_counter()
        for _ in range(program["steps"]):
            losses, _ = trainer.step(*trainer.batch())
        result["seconds"].append(time.perf_counter() - start)
    result["last_loss"] = losses[0]
    result["peak_rss_bytes"] = peak_memory()
    return result


def check(program, mode):
    from safetensors.torch import load_file

    given = program["check"]
    trainer = Trainer(program, mode)
    for model, path in ((trainer.student, given["student"]), (trainer.teacher, given.get("teacher"))):
        if model is not None:
            model.load_state_dict({k.removeprefix("model."): v for k, v in load_file(path).items()})
    ids, targets = (torch.tensor(given[k], device=program["device"]) for k in ("ids", "targets"))
    steps = []
    for _ in range(program["steps"]):
        (total, ce, ld, ad), norm = trainer.step(ids, targets)
        steps.append({"total": total, "ce": ce, "ld": ld, "ad": ad, "norm": norm})
    return steps


def main():
    path, mode = sys.argv[1:]
    with open(path) as f:
        program = json.load(f)
    torch.manual_seed(1)
    torch.set_num_threads(program["threads"])
    print(json.dumps((check if "check" in program else measure)(program, mode)), flush=True)


if __name__ == "__main__":
    main()
