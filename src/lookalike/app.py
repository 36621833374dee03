"""The composition root: picks the adapters that a configuration names and puts them together.

This is the only module that knows every adapter. Each is imported where it is needed, so that opening an index does
not load a download client, and `import lookalike` loads no optional library at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike import embed
from lookalike.caches import cached
from lookalike.config import Config
from lookalike.environment import expanded
from lookalike.errors import UnsupportedModel
from lookalike.hosted import open_hosted, open_meters
from lookalike.known import known_model, space_of
from lookalike.places import Address, Place
from lookalike.policy import ImagePolicy
from lookalike.ports import Encoder, Meter, Recorder, Vectorizer
from lookalike.providers.reference import ModelRef
from lookalike.queues import open_feed as open_feed
from lookalike.queues import open_queue as open_queue
from lookalike.spaces import Space
from lookalike.weights import local as weights

if TYPE_CHECKING:
    from lookalike.bridge import Bridge
    from lookalike.fallback import Chain
    from lookalike.parity import Shelf
    from lookalike.store.attached.store import AttachedStore
    from lookalike.store.embedded import EmbeddedStore
    from lookalike.store.memory import MemoryStore
    from lookalike.store.postgres.store import PostgresStore

CLIP = "openai/clip-vit-base-patch32"
BUILT_IN = "tiny"
BRIDGE = "bridge:"
"""What the name of a model begins with that is a bridge; the rest is the path of its file."""

HOSTED_THREADS = 8
"""Threads that bulk work has with a hosted model, at least: they wait for answers, whose number the provider limits."""


def choose_model(config: Config) -> str:
    """The model that `config.model` means here: for "auto" CLIP where its weights are present, else the built-in."""
    if config.model != "auto":
        return config.model
    return CLIP if weights.locate(CLIP, config.hub) else BUILT_IN


def is_hosted(model: str) -> bool:
    """Whether a model's name is that of a hosted one, which is not on this machine and never will be."""
    return ModelRef.parse(model) is not None


def open_encoder(config: Config, *, threads: int | None = None) -> Encoder:
    """The encoder of `config.model`; weights that are not on this machine are downloaded, unless offline.

    Args:
        config: Says which model and how.
        threads: Cores per call, instead of `config.threads`.

    Raises:
        ModelError: It cannot be found, fetched or used.
        MissingDependency: The extra that runs it is not installed.
    """
    from lookalike.encoders.local import EngineOptions, open_encoder

    model = choose_model(config)
    folder = weights.find(model, config.hub)
    if folder is None:
        from lookalike.weights.hub import fetch

        folder = fetch(model, config.hub)
    options = EngineOptions(
        precision=config.precision,
        runtime=config.runtime,
        orientation=config.orientation,
        threads=config.threads if threads is None else threads,
    )
    # A local folder is named by its whole path, so that an index made with it can open it again, from anywhere.
    is_named = folder.revision or folder.path.parent == weights.BUILT_IN
    return open_encoder(
        folder.path,
        name=folder.name if is_named else folder.path.absolute().as_posix(),
        weights_sha256=folder.weights_sha256,
        cache_dir=config.cache_dir / "compiled",
        options=options,
        space=_space_read_for(folder.name, config) if is_named else None,
    )


def _space_read_for(name: str, config: Config) -> Space | None:
    """The space that a model of texts was trained to agree with; None for a model with a space of its own."""
    known = known_model(name)
    return space_of(name, config.orientation) if known and known.reads_for else None


def open_vectorizer(config: Config, *, space: Space | None = None, threads: int | None = None) -> Vectorizer:
    """What embeds by the configuration: a model in this process or a hosted one, behind its cache if it has one.

    "bridge:FILE" is the model that the bridge was fitted from, taken across it. With a fallback it is a chain, each of
    whose members has a cache of its own.

    Args:
        config: Says which model and how.
        space: The space that its vectors shall belong to: its own, or one that it may write into by a proof of
            parity that is kept. Its own if left out.
        threads: Cores per call, instead of `config.threads`.

    Raises:
        ModelError: It cannot be found, fetched or used.
        ConfigError: A hosted model's key, or another setting of it, is missing or wrong.
        SpaceMismatch: It makes vectors of another space, and there is no proof that they belong to this one as well.
    """
    if config.fallback:
        models = (choose_model(config), *config.fallback)
        return open_chain(models, config if threads is None else replace(config, threads=threads), space=space)
    if space is not None:
        embed.require_space(config.model, space)
    vectorizer = _open_vectorizer(config, threads)
    return vectorizer if space is None else in_space(vectorizer, space, config=config)


def open_chain(
    models: Sequence[str],
    config: Config,
    *,
    space: Space | None = None,
    recorder: Recorder | None = None,
    reference: str | None = None,
) -> Chain:
    """Models that are asked in order, each behind its own cache; see `fallback.Chain`. One budget is for all of them.

    Args:
        models: Their names.
        config: As of `open_vectorizer`, but for its models.
        space: The space of all of them, by a proof of parity where it is not a model's own; that of the first that
            says whose it is, if left out.
        recorder: Is told when one fails, and when it is back.
        reference: The model whose answer to the canary the others must give; the first if left out.

    Raises:
        SpaceMismatch: They are of several spaces.
        ModelError, ConfigError, ProviderError: One of them cannot be used; one that is down now is no error.
    """
    from lookalike.canary import References
    from lookalike.fallback import Candidate, Chain, Checked

    references = References(config.cache_dir / "canaries")
    hosted = {model: ref for model in models if (ref := ModelRef.parse(model))}
    meters = dict(zip(hosted, open_meters(tuple(hosted.values()), config), strict=True)) if hosted else {}

    def candidate(model: str) -> Candidate:
        single, meter = replace(config, model=model, fallback=()), meters.get(model)

        def surround(vectorizer: Vectorizer) -> Vectorizer:
            checked = Checked(vectorizer, references, name=model, defines=model == (reference or models[0]))
            return cached(checked, single, meter)

        return Candidate(name=model, open=partial(_open_bare, single, meter), surround=surround, waits=model in hosted)

    return Chain(
        [candidate(model) for model in dict.fromkeys(models)],
        space=space,
        adopt=partial(in_space, config=config),
        recorder=recorder,
    )


def in_space(vectorizer: Vectorizer, space: Space, *, config: Config) -> Vectorizer:
    """A model with its vectors in this space.

    Raises:
        SpaceMismatch: They are of another one, and there is no proof that they belong to this one as well.
    """
    if vectorizer.tower.space.key == space.key:
        return vectorizer
    from lookalike.parity import adopted, mismatch

    proof = open_shelf(config).find(space, vectorizer.tower)
    if proof is None:
        raise mismatch(space, vectorizer.tower.space)
    return adopted(vectorizer, space, proof)


def open_shelf(config: Config) -> Shelf:
    """Where proofs of parity are kept."""
    from lookalike.parity import Shelf

    return Shelf(config.cache_dir / "proofs")


def _open_vectorizer(config: Config, threads: int | None) -> Vectorizer:
    if config.model.startswith(BRIDGE):
        return _open_bridged(config, threads)
    config = replace(config, model=choose_model(config), threads=config.threads if threads is None else threads)
    ref = ModelRef.parse(config.model)
    meter = open_meters((ref,), config)[0] if ref else None
    return cached(_open_bare(config, meter), config, meter)


def _open_bare(config: Config, meter: Meter | None) -> Vectorizer:
    """The model alone."""
    if config.model.startswith(BRIDGE):
        return _open_bridged(config, None)
    policy = ImagePolicy(max_bytes=config.max_bytes, max_pixels=config.max_pixels)
    ref = ModelRef.parse(config.model)
    if ref is not None:
        return open_hosted(ref, config, policy, meter)
    return embed.LocalVectorizer(open_encoder(config), policy=policy)


def _open_bridged(config: Config, threads: int | None) -> Vectorizer:
    from lookalike.bridge import BridgedVectorizer

    bridge = load_bridge(config.model)
    return BridgedVectorizer(open_vectorizer(replace(config, model=bridge.source.model), threads=threads), bridge)


def load_bridge(model: str) -> Bridge:
    """The bridge that "bridge:FILE" names.

    Raises:
        ModelError: There is no such file, or it is damaged.
    """
    from lookalike.bridge import load

    return load(expanded(Path(model.removeprefix(BRIDGE)), "model"))


def model_behind(model: str) -> str:
    """The model that computes where this one is asked for: of a bridge the one that reads the words.

    Raises:
        ModelError: It is a bridge whose file is not there, or damaged.
    """
    return load_bridge(model).source.model if model.startswith(BRIDGE) else model


def available_threads(config: Config) -> int:
    """Cores that bulk work uses: the configured number, or all that the container allows."""
    from lookalike.encoders.cores import available_cores

    return config.threads or available_cores()


def bulk_threads(config: Config, model: str) -> int:
    """Threads that bulk work with a model has: the configured number; or one a core, and more with a hosted one."""
    n_cores = available_threads(config)
    return max(n_cores, HOSTED_THREADS) if is_hosted(model) and not config.threads else n_cores


def open_store(
    place: Place, *, write: bool = False, mirror: bool = False, number: int | None = None
) -> EmbeddedStore | PostgresStore | AttachedStore:
    """The store in a folder, see `lookalike.store.embedded.open_store`, or in a database, `.postgres.store`.

    Of a table in a database that is named in the address: `.attached.store`.
    """
    if isinstance(place, Address) and place.table:
        from lookalike.store.attached import store as attached

        return attached.open_store(place)
    if isinstance(place, Address):
        from lookalike.store.postgres import store as production

        return production.open_store(place, mirror=mirror, number=number)
    from lookalike.store import embedded

    return embedded.open_store(expanded(place, "index"), write=write, number=number)


def create_store(place: Place, space: Space) -> EmbeddedStore | PostgresStore:
    """A new store in a folder, see `lookalike.store.embedded.create`, or in a database, `.postgres.store`.

    Raises:
        StoreNotFound: The address names a table, which is attached instead.
    """
    if isinstance(place, Address) and place.table:
        from lookalike.store.attached.registry import not_attached

        raise not_attached(str(place.database), place.table)
    if isinstance(place, Address):
        from lookalike.store.postgres import store as production

        return production.create(place, space)
    from lookalike.store import embedded

    return embedded.create(expanded(place, "index"), space)


def memory_store(space: Space) -> MemoryStore:
    """A store that is gone with the process."""
    from lookalike.store import memory

    return memory.MemoryStore(space)


class Embedder(embed.Embedder):
    """Turns pictures and texts into vectors of one space; see `lookalike.embed.Embedder` for its methods."""

    @classmethod
    def open(
        cls,
        model: str | None = None,
        *,
        config: Config | None = None,
        space: Space | None = None,
        threads: int | None = None,
    ) -> Embedder:
        """Open a model by name.

        Args:
            model: "tiny", "openai/clip-vit-base-patch32" or an alias, another hub repository, a folder with its files,
                or a hosted model ("openai:text-embedding-3-small"). Whatever the configuration says if left out.
            config: Settings; from the environment if left out.
            space: The space that its vectors shall belong to, by a proof of parity if it is not the model's own.
            threads: Cores per call; all that the container allows if left out.

        Raises:
            ModelError: It cannot be found, fetched or used.
            ConfigError: A hosted model's key, or another setting of it, is missing or wrong.
            ProviderError: A hosted model that has to be asked who it is does not say.
            SpaceMismatch: Its vectors are of another space, and there is no proof that they belong to this one as well.
        """
        config = config or Config.from_environ()
        if model is not None:
            config = replace(config, model=model)
        return cls(open_vectorizer(config, space=space, threads=threads))


def open_for_new(config: Config | None) -> tuple[Config, Embedder]:
    """The configuration with its model chosen, and that model: for a new index. UnsupportedModel if it sees nothing."""
    config = config or Config.from_environ()
    config = replace(config, model=choose_model(config))
    embedder = Embedder.open(config=config)
    if "image" not in embedder.tower.modalities:
        raise UnsupportedModel(
            f"{config.model} embeds no pictures, so there is nothing to index with it. Use {CLIP}.", model=config.model
        )
    return config, embedder
