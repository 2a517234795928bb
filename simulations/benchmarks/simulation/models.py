"""Four models of the comparison, written as matrix products that many people can share in one pass.

The convolutional one, the work that the comparison is about, has a file of its own.

They are the same functions as the modules in `simulations.benchmarks.simulation.peers.work`, which the peers train:
`from_module` brings the weights over, and a test compares one person's update.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from federation.schema import Column, Rows, RowSchema, Target, Window
from federation.terms import TrainingTerms
from federation.workload import Loss, Phase, Scores, Weights, Workload
from simulations.benchmarks.simulation import convolution
from simulations.benchmarks.simulation.peers import work

Logits = Callable[[Weights, torch.Tensor], torch.Tensor]


def recurrent(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """A GRU over 128 instants (Cho et al. 2014), (rows, 6, 128) -> (rows, 6).

    What the inputs add to the gates is one product for all instants; the loop has one product per instant.
    """
    heard = x.transpose(-1, -2) @ weights["input.weight"] + weights["input.bias"]
    state = x.new_zeros(x.shape[0], work.HIDDEN)
    for now in heard.unbind(-2):
        recalled = state @ weights["hidden.weight"] + weights["hidden.bias"]
        gates = torch.sigmoid(now[..., : -work.HIDDEN] + recalled[..., : -work.HIDDEN])
        reset, keep = gates.chunk(2, dim=-1)
        fresh = torch.tanh(now[..., -work.HIDDEN :] + reset * recalled[..., -work.HIDDEN :])
        state = fresh + keep * (state - fresh)
    return state @ weights["out.weight"] + weights["out.bias"]


def attentive(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """One pre-norm transformer block over 16 patches of 8 instants, (rows, 6, 128) -> (rows, 6)."""
    patches = x.reshape(len(x), x.shape[1], -1, work.PATCH).transpose(1, 2).flatten(2)
    hidden = patches @ weights["patch.weight"] + weights["patch.bias"] + weights["place"]
    normed = _normed(hidden, weights, "norm1")
    query, key, value = (normed @ weights["attend.weight"] + weights["attend.bias"]).chunk(3, dim=-1)
    query, key, value = (part.reshape(*part.shape[:2], work.HEADS, -1).transpose(1, 2) for part in (query, key, value))
    blend = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), dim=-1) @ value
    hidden = hidden + blend.transpose(-2, -3).flatten(-2) @ weights["merge.weight"] + weights["merge.bias"]
    wide = functional.relu(_normed(hidden, weights, "norm2") @ weights["wide.weight"] + weights["wide.bias"])
    hidden = hidden + wide @ weights["narrow.weight"] + weights["narrow.bias"]
    return hidden.mean(-2) @ weights["out.weight"] + weights["out.bias"]


def _normed(hidden: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    """Layer normalisation over the channels of one instant (Ba et al. 2016)."""
    centred = hidden - hidden.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
    return centred * scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def trivial(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """A linear layer, (rows, 4) -> (rows, 2)."""
    return x @ weights["out.weight"] + weights["out.bias"]


LOGITS: Mapping[str, Logits] = {
    "convolutional": convolution.convolutional,
    "recurrent": recurrent,
    "attentive": attentive,
    "trivial": trivial,
}
TOGETHER: Mapping[str, Loss] = {"convolutional": convolution.together}
"""Losses that are written for many people at once; ``vmap`` makes the others."""


NAMES: Mapping[str, Mapping[str, str]] = {
    "convolutional": {"0.weight": "1", "3.weight": "2", "7.weight": "3", "9.weight": "4"},
    "recurrent": {"gru.weight_ih_l0": "input", "gru.weight_hh_l0": "hidden", "out.weight": "out"},
    "attentive": {
        "patch.weight": "patch",
        "block.norm1.weight": "norm1",
        "block.self_attn.in_proj_weight": "attend",
        "block.self_attn.out_proj.weight": "merge",
        "block.norm2.weight": "norm2",
        "block.linear1.weight": "wide",
        "block.linear2.weight": "narrow",
        "out.weight": "out",
    },
    "trivial": {"weight": "out"},
}
"""What a peer's module calls the weights that we call NAME.weight and NAME.bias."""


def from_module(name: str, module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a peer's module under our names, as matrices (inputs, outputs)."""
    state = {key: tensor.detach().clone() for key, tensor in module.state_dict().items()}
    found = {"place": state["place"]} if "place" in state else {}
    for theirs, ours in NAMES[name].items():
        found[f"{ours}.weight"] = _matrix(state[theirs])
        found[f"{ours}.bias"] = state[theirs.replace("weight", "bias")]
    if name == "convolutional":
        found["2.weight"] = state["3.weight"]  # this one stays a convolution
    return found


def _matrix(theirs: torch.Tensor) -> torch.Tensor:
    """A layer's (outputs, inputs) transposed; a convolution's (outputs, inputs, taps) as (taps × inputs, outputs)."""
    return theirs if theirs.dim() == 1 else theirs.permute(*reversed(range(theirs.dim()))).flatten(0, -2).contiguous()


def workload(name: str) -> Workload:
    """The model called `name` as a workload of the comparison; it is not installed anywhere."""
    about, logits = work.WORKS[name], LOGITS[name]

    def initial(seed: int) -> dict[str, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return from_module(name, work.module(name))

    def loss(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
        del seed
        return functional.cross_entropy(logits(weights, fields["x"]), fields["y"], reduction="none")

    def scores(weights: Weights, rows: Rows) -> dict[str, float]:
        with torch.no_grad():
            right = logits(weights, rows.fields["x"]).argmax(-1) == rows.fields["y"]
        return {"rows": float(len(rows)), "correct": float(right.sum())}

    return Workload(
        name=f"bench_{name}",
        version=1,
        title=f"The {name} model of the comparison",
        schema=_schema(about),
        phases=(Phase("train", True, ("",), loss, TOGETHER.get(name)),),
        initial=initial,
        scores=scores,
        person_scores=("correct",),
        summary=_accuracy,
        headline="accuracy",
        higher_is_better=True,
        invent=lambda seed, people, rows: _invent(about, (seed, people, rows)),
    )


def _schema(about: work.Work) -> RowSchema:
    columns = tuple(Column(f"x{number}", "", -9.0, 9.0) for number in range(about.x_shape[0]))
    window = Window(samples=about.x_shape[1], hop=about.x_shape[1], rate_hz=50.0) if len(about.x_shape) > 1 else None
    return RowSchema(columns, Target("y", "", classes=tuple(f"c{number}" for number in range(about.classes))), window)


def _accuracy(sums: Scores) -> dict[str, float]:
    return {"accuracy": sums.get("correct", 0.0) / max(sums.get("rows", 0.0), 1.0)}


def _invent(about: work.Work, size: tuple[int, int, int]) -> Rows:
    """Rows of the same kind as `work.write` saves."""
    seed, people, rows = size
    source = torch.Generator().manual_seed(seed)
    y = torch.randint(about.classes, (people * rows,), generator=source)
    x = torch.randn(people * rows, *about.x_shape, generator=source) + 0.3 * y.view(-1, *[1] * len(about.x_shape))
    return Rows({"x": x, "y": y}, torch.arange(people).repeat_interleave(rows))


def terms(about: work.Work) -> TrainingTerms:
    """The local steps of `about` as the terms of a task."""
    return TrainingTerms(learning_rate=work.LEARNING_RATE, local_steps=about.steps, step_rows=about.batch)


def parameters(name: str) -> int:
    """How many numbers are trained."""
    return sum(tensor.numel() for tensor in workload(name).initial(0).values())
