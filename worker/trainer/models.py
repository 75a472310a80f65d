"""The two models: a transformer over characters and a perceptron over rows of numbers."""
from tinygrad import Tensor, nn


class Block:
    """Attention to what came before, then a layer for each position, each added to what came in."""

    def __init__(self, width, heads):
        self.heads = heads
        self.attention_norm, self.hidden_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def __call__(self, x):
        batch, context, width = x.shape
        q, k, v = (part.reshape(batch, context, self.heads, width // self.heads).transpose(1, 2)
                   for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1))
        seen = q.scaled_dot_product_attention(k, v, is_causal=True).transpose(1, 2).reshape(batch, context, width)
        x = x + self.out(seen)
        return x + self.down(self.up(self.hidden_norm(x)).relu())


class LanguageModel:
    def __init__(self, characters, context, width, layers, heads):
        self.embedding = nn.Embedding(characters, width)
        self.position = Tensor.uniform(context, width, low=-0.1, high=0.1)
        self.blocks = [Block(width, heads) for _ in range(layers)]
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, characters, bias=False)

    def __call__(self, x):
        return self.head(self.norm((self.embedding(x) + self.position).sequential(self.blocks)))


class Classifier:
    def __init__(self, inputs, classes, width, layers):
        sizes = [inputs] + [width] * layers
        self.hidden = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
        self.head = nn.Linear(width, classes)

    def __call__(self, x):
        for layer in self.hidden:
            x = layer(x).relu()
        return self.head(x)
