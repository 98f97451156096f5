"""Names for the tensor shapes that cross function borders."""

from jaxtyping import Float, Int
from torch import Tensor

Logits = Float[Tensor, " batch"]
Labels = Int[Tensor, " batch"]
Latents = Float[Tensor, "batch latent"]
Items = Float[Tensor, "batch *item"]
Scalar = Float[Tensor, ""]
Vectors = Float[Tensor, "count values"]
