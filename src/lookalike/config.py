"""Settings: the one place that reads the environment.

Every setting has a default and a variable that wins over it; most have an option of the command line, which wins over
both. The fallback, the budgets, the cache folder and the hub have none. docs/reference.md lists the variables; a test
compares.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from lookalike.environment import Environment, dotenv, expanded
from lookalike.errors import ConfigError
from lookalike.places import Address, Place, address_of, place_of
from lookalike.policy import ImagePolicy
from lookalike.providers.reference import PROVIDERS, ProviderSettings
from lookalike.rollout import Rollout
from lookalike.secret import Secret
from lookalike.sources.objects import VARIABLES, BucketSettings
from lookalike.spaces import Orientation, Precision, Runtime
from lookalike.weights.local import HubSettings

HUB_ENDPOINT = "https://huggingface.co"
LOG_LEVELS = ("debug", "info", "warning", "error")

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "azure": ("AZURE_OPENAI_API_KEY",),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY", "HUGGING_FACE_HUB_TOKEN"),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "voyage": ("VOYAGE_API_KEY",),
    "jina": ("JINA_API_KEY",),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
    "lookalike": ("LOOKALIKE_API_KEY",),
}
"""The variables that hold a provider's key, as its own libraries have them; the first that is set counts."""

URL_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_BASE_URL",),
    "azure": ("AZURE_OPENAI_ENDPOINT",),
    "cohere": ("CO_API_URL",),
}
"""The variables that say where a provider is, instead of its usual place."""

USUAL_MODELS: Mapping[str, str] = {
    "openai": "text-embedding-3-small",
    "huggingface": "sentence-transformers/all-MiniLM-L6-v2",
    "cohere": "embed-v4.0",
    "gemini": "gemini-embedding-2",
    "voyage": "voyage-multimodal-3.5",
    "jina": "jina-clip-v2",
    "bedrock": "amazon.titan-embed-image-v1",
}
"""What EMBEDDINGS_PROVIDER alone means."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How the HTTP service behaves.

    Attributes:
        host: The address that it listens on.
        port: The port that it listens on; 0 for any that is free.
        workers: Worker processes; 0 for one more than there are cores, and at least two.
        api_keys: Keys, as "name scope,scope key", separated by ";"; never shown.
        api_keys_file: A file with one such key a line.
        requests_per_minute: What one key, or without keys one client address, may send; 0 for no limit.
        request_timeout_s: When a request is answered at the latest, unless its X-Request-Timeout says otherwise ...
        max_request_timeout_s: ... which may ask for no more than this.
        max_body_bytes: The largest body of a request.
        max_requests: Requests that are worked on at the same time; more are refused at once.
        max_batch_items: Pictures or texts in one request; of texts, /v1/embeddings takes 2,048, as OpenAI does.
        max_text_chars: Characters of one text; a model reads a few hundred of them at most.
        allow_urls: Whether pictures may be named by URL, which the service then fetches.
        url_hosts: Hosts, each with all names below it, that it may fetch from; empty for every public host.
        buckets: Buckets whose objects may be named, each maybe with the project that they belong to behind a "=".
        cors_origins: Web origins whose pages may call the service; none by default.
        trusted_proxies: Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed; none by default.
        drain_s: How long a stop waits for what was accepted.
        log_level: "debug", "info", "warning" or "error"; below "info" no line is written for a request.
        image_search: Which projects can be searched.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 0
    api_keys: str = field(default="", repr=False)
    api_keys_file: Path | None = None
    requests_per_minute: int = 0
    request_timeout_s: float = 30.0
    max_request_timeout_s: float = 120.0
    max_body_bytes: int = 64 << 20
    max_requests: int = 512
    max_batch_items: int = 256
    max_text_chars: int = 32_768
    allow_urls: bool = False
    url_hosts: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    drain_s: float = 20.0
    log_level: str = "info"
    image_search: Rollout = field(default_factory=Rollout)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting, resolved.

    Attributes:
        model: Name, alias or folder of the model, or a hosted one ("openai:text-embedding-3-small"); "auto" is the
            index's own model, else CLIP if its weights are on this machine, else the built-in `tiny`, which is said
            aloud.
        fallback: Models of the same space that are asked, in this order, where `model` cannot answer.
        cache: Where vectors are kept: "auto" (of hosted models, in `cache_dir`), "off", a file, or a PostgreSQL URL.
        max_cost_usd: What one run may spend on hosted models, in US dollars; None for no limit.
        providers: Keys and places of hosted models.
        precision: "exact", "bf16" or "int8".
        runtime: The library that runs the model: "onnxruntime", "openvino" or "torch".
        orientation: Whether EXIF orientation is applied or ignored.
        threads: Cores to use; 0 for all that the container allows.
        index: Where the index is: a folder, or a PostgreSQL database.
        mirror: Whether vectors of a database are kept in memory, and searched there.
        project: Project of new items.
        database: Where tables of one's own are, whose rows have pictures; None if that is not said.
        bucket_access: How buckets are reached.
        uploads: Where pictures are kept that are handed in as bytes: a folder, or a bucket ("s3://bucket/folder"); if
            empty, "uploads" in the folder of an index, and nowhere where the index is a database.
        max_bytes: The largest picture file that is read.
        max_pixels: The largest picture that is decoded.
        cache_dir: Where compiled models and digests are kept.
        hub: Where weights come from.
        terminal: The variables that say what the terminal can show.
        serve: How the HTTP service behaves.
    """

    model: str = "auto"
    fallback: tuple[str, ...] = ()
    cache: str = field(default="auto", repr=False)  # there may be a password in it
    max_cost_usd: float | None = None
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    precision: Precision = "exact"
    runtime: Runtime = "onnxruntime"
    orientation: Orientation = "apply"
    threads: int = 0
    index: Place
    mirror: bool = False
    project: str = "default"
    database: Address | None = None
    bucket_access: BucketSettings = field(default_factory=BucketSettings)
    uploads: str = ""
    max_bytes: int = ImagePolicy().max_bytes
    max_pixels: int = ImagePolicy().max_pixels
    cache_dir: Path
    hub: HubSettings
    terminal: Mapping[str, str] = field(default_factory=dict)
    serve: ServeSettings = field(default_factory=ServeSettings)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Config:
        """The settings of an environment; the process's own, and the file ".env" below it, if none is given.

        Raises:
            ConfigError: A variable has a value that cannot be used; names it.
        """
        env = Environment(_process_environ() if environ is None else environ)
        cache_dir = env.path("LOOKALIKE_CACHE_DIR", lambda: _cache_home(env) / "lookalike")
        # Without slots, a class keeps its defaults as attributes.
        return cls(
            model=_model(env) or cls.model,
            fallback=env.words("LOOKALIKE_FALLBACK"),
            cache=env.text("LOOKALIKE_CACHE", "auto"),
            max_cost_usd=env.dollars("LOOKALIKE_MAX_COST_USD"),
            providers=_providers(env),
            precision=env.choice("LOOKALIKE_PRECISION", cls.precision, get_args(Precision)),
            runtime=env.choice("LOOKALIKE_RUNTIME", cls.runtime, get_args(Runtime)),
            orientation=env.choice("LOOKALIKE_ORIENTATION", cls.orientation, get_args(Orientation)),
            threads=env.count("LOOKALIKE_THREADS", cls.threads),
            index=_index(env),
            mirror=env.flag("LOOKALIKE_MIRROR"),
            project=env.text("LOOKALIKE_PROJECT", cls.project),
            database=_database(env),
            bucket_access=_bucket_access(env),
            uploads=env.text("LOOKALIKE_UPLOADS", ""),
            max_bytes=env.count("LOOKALIKE_MAX_BYTES", cls.max_bytes),
            max_pixels=env.count("LOOKALIKE_MAX_PIXELS", cls.max_pixels),
            cache_dir=cache_dir,
            hub=_hub(env, cache_dir),
            terminal=env.only(
                "TERM", "TERM_PROGRAM", "COLORTERM", "NO_COLOR", "KITTY_WINDOW_ID", "TMUX", "LC_TERMINAL"
            ),
            serve=_serve(env),
        )


def _process_environ() -> Mapping[str, str]:
    """The process's variables; what it does not set is looked for in the file ".env" of the working folder."""
    return {**dotenv(Path(os.environ.get("LOOKALIKE_ENV_FILE", ".env"))), **os.environ}


def _model(env: Environment) -> str:
    """The model that the variables name; empty if they name none."""
    own = env.text("LOOKALIKE_MODEL", "")
    provider, mode = env.text("EMBEDDINGS_PROVIDER", "").lower(), env.text("EMBEDDING_MODE", "").lower()
    if provider and mode and provider != mode:
        raise ConfigError(f"EMBEDDINGS_PROVIDER is {provider!r} and EMBEDDING_MODE is {mode!r}: set only one of them.")
    provider, model = provider or mode, env.text("EMBEDDINGS_MODEL", "")
    if own or provider in ("", "local"):
        return own or model
    if provider not in PROVIDERS:
        raise ConfigError(f"EMBEDDINGS_PROVIDER is {provider!r}; it must be one of: local, {', '.join(PROVIDERS)}.")
    if model.lower().startswith(f"{provider}:"):
        return model
    model = model or USUAL_MODELS.get(provider, "")
    if not model:
        raise ConfigError(
            f"EMBEDDINGS_PROVIDER is {provider!r}: set EMBEDDINGS_MODEL to its deployment's name or address."
        )
    return f"{provider}:{model}"


def _providers(env: Environment) -> ProviderSettings:
    keys = {provider: Secret(env.first(*names)) for provider, names in KEY_VARIABLES.items()}
    urls = {provider: env.first(*names).rstrip("/") for provider, names in URL_VARIABLES.items()}
    return ProviderSettings(
        keys={provider: key for provider, key in keys.items() if key},
        base_urls={provider: url for provider, url in urls.items() if url},
        region=env.first("AWS_REGION", "AWS_DEFAULT_REGION"),
        timeout_s=env.seconds("LOOKALIKE_PROVIDER_TIMEOUT_S", ProviderSettings().timeout_s),
        proxy=env.first("HTTPS_PROXY", "https_proxy"),
        no_proxy=env.first("NO_PROXY", "no_proxy"),
    )


def _database(env: Environment) -> Address | None:
    return address_of(env.text("DATABASE_URL", ""))


def _bucket_access(env: Environment) -> BucketSettings:
    found = {
        scheme: {option: Secret(env.first(*names)) for option, names in variables.items()}
        for scheme, variables in VARIABLES.items()
    }
    return BucketSettings(
        options={scheme: {key: value for key, value in told.items() if value} for scheme, told in found.items()}
    )


def _cache_home(env: Environment) -> Path:
    return env.path("XDG_CACHE_HOME", lambda: Path("~/.cache"))


def _index(env: Environment) -> Place:
    """The place that LOOKALIKE_INDEX names; VECTOR_BACKEND says which kind it must be, and goes to DATABASE_URL."""
    place = place_of(env.text("LOOKALIKE_INDEX", ""))
    backend = env.choice("VECTOR_BACKEND", "auto", ("auto", "embedded", "pgvector"))
    if backend == "pgvector" and not isinstance(place, Address):
        database = _database(env)
        if database is None:
            raise ConfigError(
                "VECTOR_BACKEND is 'pgvector': set DATABASE_URL to postgresql://user:password@host/database."
            )
        return database
    if isinstance(place, Address):
        if backend == "embedded":
            raise ConfigError("VECTOR_BACKEND is 'embedded', and LOOKALIKE_INDEX is a database: set it to a folder.")
        return place
    return env.path("LOOKALIKE_INDEX", lambda: _data_home(env) / "lookalike" / "photos.lookalike")


def _data_home(env: Environment) -> Path:
    return env.path("XDG_DATA_HOME", lambda: Path("~/.local/share"))


def _hub_home(env: Environment) -> Path:
    return env.path("HF_HOME", lambda: _cache_home(env) / "huggingface")


def _hub(env: Environment, cache_dir: Path) -> HubSettings:
    return HubSettings(
        endpoint=env.text("HF_ENDPOINT", HUB_ENDPOINT).rstrip("/"),
        hub_cache=env.path("HF_HUB_CACHE", lambda: _hub_home(env) / "hub"),
        digest_cache=cache_dir / "digests.json",
        offline=env.flag("HF_HUB_OFFLINE") or env.flag("TRANSFORMERS_OFFLINE"),
        token=env.text("HF_TOKEN", "") or None,
    )


def _serve(env: Environment) -> ServeSettings:
    default = ServeSettings
    keys_file = env.text("LOOKALIKE_API_KEYS_FILE", "")
    return ServeSettings(
        host=env.text("LOOKALIKE_HOST", default.host),
        port=env.count("LOOKALIKE_PORT", default.port, most=65_535),
        workers=env.count("LOOKALIKE_WORKERS", default.workers),
        api_keys=env.text("LOOKALIKE_API_KEYS", ""),
        api_keys_file=expanded(Path(keys_file), "LOOKALIKE_API_KEYS_FILE") if keys_file else None,
        requests_per_minute=env.count("LOOKALIKE_REQUESTS_PER_MINUTE", default.requests_per_minute),
        request_timeout_s=env.seconds("LOOKALIKE_REQUEST_TIMEOUT_S", default.request_timeout_s),
        max_request_timeout_s=env.seconds("LOOKALIKE_MAX_REQUEST_TIMEOUT_S", default.max_request_timeout_s),
        max_body_bytes=env.count("LOOKALIKE_MAX_BODY_BYTES", default.max_body_bytes, least=1),
        max_requests=env.count("LOOKALIKE_MAX_REQUESTS", default.max_requests, least=1),
        max_batch_items=env.count("LOOKALIKE_MAX_BATCH_ITEMS", default.max_batch_items, least=1),
        max_text_chars=env.count("LOOKALIKE_MAX_TEXT_CHARS", default.max_text_chars, least=1),
        allow_urls=env.flag("LOOKALIKE_ALLOW_URLS"),
        url_hosts=env.words("LOOKALIKE_URL_HOSTS"),
        buckets=env.words("LOOKALIKE_BUCKETS"),
        cors_origins=env.words("LOOKALIKE_CORS_ORIGINS"),
        trusted_proxies=env.words("LOOKALIKE_TRUSTED_PROXIES"),
        drain_s=env.seconds("LOOKALIKE_DRAIN_S", default.drain_s),
        log_level=env.choice("LOOKALIKE_LOG_LEVEL", default.log_level, LOG_LEVELS),
        image_search=Rollout.parse(env.text("FEATURE_IMAGE_SEARCH", "on"), setting="FEATURE_IMAGE_SEARCH"),
    )
