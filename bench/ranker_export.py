"""Writes the squeezed encoder as an ONNX graph whose weights stay int8.

Each token's activations have a scale of their own. With one for all tokens, as onnxruntime's own quantization does it,
the few numbers far from the rest that a transformer has leave the rest of them too few steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

HEADS, WIDTH = 12, 768
PART = WIDTH // HEADS
EPSILON = 1e-5
OPSET = 20

Values = Mapping[str, NDArray[Any]]


class Graph:
    """An ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._count = 0

    def do(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Adds a node; the name of its output, or a list of them."""
        self._count += 1
        names = [f"{kind}{self._count}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: NDArray[Any]) -> str:
        """Adds a constant; its name."""
        self._count += 1
        name = f"c{self._count}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def real(self, value: NDArray[Any]) -> str:
        """A constant of floats, kept in 16 bits; onnxruntime makes 32 of them once, when it opens the file."""
        return str(self.do("Cast", self.constant(value.astype(np.float16)), to=TensorProto.FLOAT))

    def shape(self, *sizes: int) -> str:
        return self.constant(np.array(sizes, dtype=np.int64))


def graph_of(net: Values, layers: int) -> Any:
    """The model: from input_ids (tokens,), kind (tokens,; 1 for the passage) and apart (tokens, tokens; buckets of
    distance) of one passage to values (1, VALUES).

    `net` has, by names as in bench/ranker_encoder.py: int8 levels `X.levels` of shape (out, in) with `X.steps`
    (out,) and `X.bias` for the matrices, and floats for all else.
    """
    g = Graph()
    word = g.do("Cast", g.do("Gather", g.constant(net["word.levels"]), "input_ids"), to=TensorProto.FLOAT)
    step = g.do("Gather", g.real(net["word.steps"]), "input_ids")
    place = g.do("Slice", g.real(net["pos.weight"]), g.shape(0), g.do("Shape", "input_ids"), g.shape(0))
    x = _normed(g, net, "norm", g.do("Add", g.do("Mul", word, step), place))
    bias = g.do("Transpose", g.do("Gather", g.real(net["apart.weight"]), "apart"), perm=[2, 0, 1])
    for i in range(layers):
        x = _layer(g, net, f"layers.{i}", x, bias)
    inside = g.do("Unsqueeze", g.do("Cast", "kind", to=TensorProto.FLOAT), g.shape(0))
    mean = g.do("Div", g.do("MatMul", inside, x), g.do("ReduceSum", inside, g.shape(1)))
    g.nodes.append(
        helper.make_node("Gemm", [mean, g.real(net["head.weight"]), g.real(net["head.bias"])], ["values"], transB=1)
    )
    sizes = {"input_ids": ["tokens"], "kind": ["tokens"], "apart": ["tokens", "tokens"]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, size) for name, size in sizes.items()]
    outputs = [helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, len(net["head.bias"])])]
    whole = helper.make_graph(g.nodes, "ranker", inputs, outputs, g.constants)
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="podsift"
    )
    onnx.checker.check_model(model)
    return model


def _layer(g: Graph, net: Values, name: str, x: str, bias: str) -> str:
    # The three that read the same are one matrix, and the queries come out scaled.
    shrink = {"q": PART**-0.5, "k": 1.0, "v": 1.0}
    qkv = {
        kind: np.concatenate(
            [net[f"{name}.{part}.{kind}"] * (1 if kind == "levels" else by) for part, by in shrink.items()]
        )
        for kind in ("levels", "steps", "bias")
    }
    heads = g.do("Reshape", _linear(g, x, **qkv), g.shape(-1, 3, HEADS, PART))
    three = g.do("Split", g.do("Transpose", heads, perm=[1, 2, 0, 3]), outputs=3, axis=0, num_outputs=3)
    q, k, v = (g.do("Squeeze", part, g.shape(0)) for part in three)
    likeness = g.do("Add", g.do("MatMul", q, g.do("Transpose", k, perm=[0, 2, 1])), bias)
    seen = g.do("Transpose", g.do("MatMul", g.do("Softmax", likeness, axis=-1), v), perm=[1, 0, 2])
    joined = g.do("Reshape", seen, g.shape(-1, WIDTH))
    x = _normed(g, net, f"{name}.n1", g.do("Add", x, _named(g, net, f"{name}.o", joined)))
    inner = g.do("Gelu", _named(g, net, f"{name}.f1", x), approximate="tanh")
    return _normed(g, net, f"{name}.n2", g.do("Add", x, _named(g, net, f"{name}.f2", inner)))


def _normed(g: Graph, net: Values, name: str, x: str) -> str:
    weight, bias = (g.real(net[f"{name}.{kind}"]) for kind in ("weight", "bias"))
    return str(g.do("LayerNormalization", x, weight, bias, axis=-1, epsilon=EPSILON))


def _named(g: Graph, net: Values, name: str, x: str) -> str:
    return _linear(g, x, *(net[f"{name}.{kind}"] for kind in ("levels", "steps", "bias")))


def _linear(g: Graph, x: str, levels: NDArray[Any], steps: NDArray[Any], bias: NDArray[Any]) -> str:
    """x (tokens, in) to (tokens, out), in whole numbers of 8 bits."""
    most = g.do("ReduceMax", g.do("Abs", x), g.shape(-1), keepdims=0)
    scale = g.do(
        "Max",
        g.do("Mul", most, g.constant(np.array(1 / 127, dtype=np.float32))),
        g.constant(np.array(1e-12, dtype=np.float32)),
    )
    zero = g.do("Expand", g.constant(np.array([128], dtype=np.uint8)), g.do("Shape", scale))
    given = g.do("QuantizeLinear", x, scale, zero, axis=0)
    whole = g.do("MatMulInteger", given, g.constant(levels.T), g.constant(np.array(128, dtype=np.uint8)))
    made = g.do("Mul", g.do("Cast", whole, to=TensorProto.FLOAT), g.do("Unsqueeze", scale, g.shape(-1)))
    return str(g.do("Add", g.do("Mul", made, g.real(steps)), g.real(bias)))
