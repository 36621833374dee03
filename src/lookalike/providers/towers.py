"""Who a provider's vectors are, as far as can be known from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lookalike.providers.reference import ModelRef
from lookalike.spaces import Modality, Space, Tower


def hosted_tower(
    ref: ModelRef,
    *,
    dim: int,
    modalities: tuple[Modality, ...],
    recipe: Mapping[str, str] | None = None,
    model: str = "",
) -> Tower:
    """The tower of a hosted model, in a space of its own.

    Nobody outside can see the weights, so the space is the provider, its address where that is not the usual one, and
    the model's name: the same model behind another address is another space until `lookalike parity` has measured it.

    Args:
        ref: The model.
        dim: Length of its vectors.
        modalities: What it embeds, sorted.
        recipe: What else can change a bit: the role of texts, a task, a prompt.
        model: What the space goes by instead of the model's name: that of a family whose models the provider says to
            share one space, or what a server says of its weights.
    """
    return Tower(
        space=Space(
            model=str(replace(ref, role="query")),
            weights=f"{ref.provider}:{ref.base_url}:{ref.region}:{model or ref.model}",
            preprocessing=ref.provider if "image" in modalities else "",
            pooling="provider",
            dim=dim,
            modalities=modalities,
        ),
        runtime=ref.provider,
        recipe=tuple(sorted((recipe or {}).items())),
    )
