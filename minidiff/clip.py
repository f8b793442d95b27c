"""CLIP: the text transformer the U-Net reads, and the vision transformer it was trained against."""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import convert
from minidiff.attention import attention, check_heads


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), the approximation of GELU that OpenAI's CLIP was trained with (Hendrycks & Gimpel 2016)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": F.gelu}


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a CLIP transformer, by transformers' names. The defaults are the course's."""

    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 512
    hidden_act: str = "quick_gelu"  # "quick_gelu" in OpenAI's CLIP and SD 1.5, "gelu" in OpenCLIP and SD 2.1
    layer_norm_eps: float = 1e-5

    def __post_init__(self):
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act is {self.hidden_act!r}, expected one of {', '.join(ACTIVATIONS)}")


@dataclass(frozen=True)
class TextConfig(TransformerConfig):
    """Sizes of a `CLIPText`."""

    vocab_size: int = 1005  # len(tokenizer)
    max_position_embeddings: int = 24  # context of the tokenizer
    eos_token_id: int = 2  # where `pooled` looks; 2, as in SD 1.5's config, stands for the largest id


@dataclass(frozen=True)
class ProjectedTextConfig(TextConfig):
    """Sizes of a `CLIPTextProjected`."""

    projection_dim: int = 128


@dataclass(frozen=True)
class VisionConfig(TransformerConfig):
    """Sizes of a `CLIPVision`."""

    image_size: int = 128
    patch_size: int = 16


@dataclass(frozen=True)
class ImageConfig(VisionConfig):
    """Sizes of a `CLIPImage`, and what is taken from colours in [0, 1], and divided by, before it sees them."""

    projection_dim: int = 128
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class CLIPConfig:
    """Sizes of a `CLIP`: its two transformers, and the space in which their outputs meet."""

    text_config: TextConfig = TextConfig()
    vision_config: VisionConfig = VisionConfig()
    projection_dim: int = 128


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence (B, N, D) to itself."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        check_heads(config.hidden_size, config.num_attention_heads)
        self.heads = config.num_attention_heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.out_proj(attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, mask))


class MLP(nn.Module):
    """Two layers, on each position alone."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.act = ACTIVATIONS[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Layer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): norms first, as in GPT-2 (Radford et al. 2019, section 2.3)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.self_attn = SelfAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = MLP(config)

        # OpenAI's: what is added to x shrinks with the number of additions, two a layer.
        std, shrink = config.hidden_size**-0.5, (2 * config.num_hidden_layers) ** -0.5
        for module in (self.self_attn.q_proj, self.self_attn.k_proj, self.self_attn.v_proj):
            nn.init.normal_(module.weight, std=std)
        nn.init.normal_(self.self_attn.out_proj.weight, std=std * shrink)
        nn.init.normal_(self.mlp.fc1.weight, std=std * 2**-0.5)
        nn.init.normal_(self.mlp.fc2.weight, std=std * shrink)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class CLIPText(nn.Module):
    """Ids (B, N) -> states (B, N, D), which the U-Net reads. Each position sees itself and those before it.

    Radford et al. 2021, section 2.4. Padding is not masked, as in Stable Diffusion, which was trained to read it too.
    """

    from_diffusers = classmethod(convert.from_diffusers)
    to_diffusers = convert.to_diffusers

    def __init__(self, config: TextConfig = TextConfig()):  # noqa: B008  frozen, so it can be shared
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.01)

    def forward(self, ids: Tensor) -> Tensor:
        return self.final_layer_norm(self.hidden_states(ids)[-1])

    def hidden_states(self, ids: Tensor) -> list[Tensor]:
        """What goes into the first layer, and what comes out of each, (B, N, D), none of it normalised.

        SDXL and SD 3 read the penultimate, [-2], as it is; with clip_skip = k, SD 1.5 reads the normalised [-1 - k].
        """
        n = ids.shape[1]
        if n > self.config.max_position_embeddings:
            raise ValueError(f"got {n} ids, expected at most {self.config.max_position_embeddings}")
        causal = torch.ones(n, n, dtype=torch.bool, device=ids.device).tril()
        states = [self.token_embedding(ids) + self.position_embedding.weight[:n]]  # (B, N, D)
        for layer in self.layers:
            states.append(layer(states[-1], causal))
        return states

    def pooled(self, ids: Tensor, states: Tensor) -> Tensor:
        """The state at the end of each text, the one that has seen all of it: (B, N), (B, N, D) -> (B, D)."""
        eos = self.config.eos_token_id
        end = (ids if eos == 2 else (ids == eos).int()).argmax(dim=1)  # (B,), the first of several
        return states[torch.arange(len(ids), device=ids.device), end]


class CLIPTextProjected(CLIPText):
    """With the matrix into the space that texts share with pictures, as `pooled` of SDXL and SD 3 is read from there.

    transformers' CLIPTextModelWithProjection: its text_embeds are `pooled(ids, forward(ids))`, (B, projection_dim).
    """

    def __init__(self, config: ProjectedTextConfig = ProjectedTextConfig()):  # noqa: B008
        super().__init__(config)
        self.text_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)

    def pooled(self, ids: Tensor, states: Tensor) -> Tensor:
        return self.text_projection(super().pooled(ids, states))


class CLIPVision(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] -> (B, D): a transformer that reads patches as words (Dosovitskiy et al. 2021).

    What it makes of the picture is the state of one word more, the class, which stands before the patches.
    """

    def __init__(self, config: VisionConfig = VisionConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        width, patches = config.hidden_size, (config.image_size // config.patch_size) ** 2
        self.class_embedding = nn.Parameter(nn.init.normal_(torch.empty(width), std=width**-0.5))
        self.patch_embedding = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size, bias=False)
        self.position_embedding = nn.Embedding(patches + 1, width)
        self.pre_layernorm = nn.LayerNorm(width, config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.post_layernorm = nn.LayerNorm(width, config.layer_norm_eps)
        nn.init.normal_(self.position_embedding.weight, std=width**-0.5)

    def forward(self, images: Tensor) -> Tensor:
        size = self.config.image_size
        if images.shape[1:] != (3, size, size):
            raise ValueError(f"got pictures of shape {tuple(images.shape[1:])}, expected (3, {size}, {size})")
        x = self.patch_embedding(images).flatten(2).transpose(1, 2)  # (B, N, D)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1)  # (B, 1 + N, D)
        x = self.pre_layernorm(x + self.position_embedding.weight)
        for layer in self.layers:
            x = layer(x)
        return self.post_layernorm(x[:, 0])


class CLIPImage(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] -> embeddings (B, projection_dim), of any length: what an IP-Adapter reads.

    With the structure of transformers' CLIPVisionModelWithProjection.
    """

    from_diffusers = classmethod(convert.from_diffusers)

    def __init__(self, config: ImageConfig = ImageConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        self.vision_model = CLIPVision(config)
        self.visual_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)

    @classmethod
    def of(cls, clip: "CLIP") -> "CLIPImage":
        """The picture's half of `clip`, whose parameters it shares."""
        image = cls(ImageConfig(**asdict(clip.config.vision_config), projection_dim=clip.config.projection_dim))
        image.vision_model, image.visual_projection = clip.vision_model, clip.visual_projection
        return image.eval()

    def forward(self, images: Tensor) -> Tensor:
        mean, std = (images.new_tensor(c)[:, None, None] for c in (self.config.image_mean, self.config.image_std))
        return self.visual_projection(self.vision_model(((images + 1) / 2 - mean) / std))


class CLIP(nn.Module):
    """Two encoders into one space, where a picture lies close to its caption (Radford et al. 2021, figure 1)."""

    def __init__(self, config: CLIPConfig = CLIPConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        self.text_model = CLIPText(config.text_config)
        self.vision_model = CLIPVision(config.vision_config)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim, bias=False)
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # log of 1 / temperature
        for projection in (self.text_projection, self.visual_projection):
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Ids (B, N) -> unit vectors (B, projection_dim)."""
        pooled = self.text_model.pooled(ids, self.text_model(ids))
        return F.normalize(self.text_projection(pooled), dim=-1)

    def encode_image(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [-1, 1] -> unit vectors (B, projection_dim)."""
        return F.normalize(self.visual_projection(self.vision_model(images)), dim=-1)

    def scale(self) -> Tensor:
        """1 / temperature, learned, at most 100 (section 2.5)."""
        with torch.no_grad():  # clip the parameter, not its use: a clipped use has no gradient and never comes back
            self.logit_scale.clamp_(max=math.log(100))
        return self.logit_scale.exp()

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """scale * cosine of each of B pictures with each of M texts: (B, M)."""
        return self.scale() * self.encode_image(images) @ self.encode_text(ids).T


def contrastive_loss(
    image_embeds: Tensor,
    text_embeds: Tensor,
    scale: Tensor,
    negatives: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Which caption belongs to this picture, and which picture to this caption? (Radford et al. 2021, figure 3.)

    (CE(scale I T^T, i) + CE(scale T I^T, i)) / 2, averaged over i, for unit vectors I and T (B, D): pair i in row i.
    `negatives` (B, D) adds one wrong caption to each picture's choices (the hard negatives of NegCLIP, Yüksekgönül et
    al. 2023); `mask` (B,) is False where a picture has none. A batch of 1 without negatives has loss 0.
    """
    logits = scale * image_embeds @ text_embeds.T  # (B, B), a row a picture
    choices = logits
    if negatives is not None:
        wrong = scale * (image_embeds * negatives).sum(-1)  # (B,)
        wrong = wrong if mask is None else wrong.masked_fill(~mask, -torch.inf)
        choices = torch.cat([logits, wrong[:, None]], dim=1)  # (B, B + 1)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(choices, own) + F.cross_entropy(logits.T, own)) / 2
