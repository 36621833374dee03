"""Settings: defaults, variables, and clear refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.config import Config, ServeSettings
from lookalike.environment import dotenv
from lookalike.errors import ConfigError


def test_everything_has_a_default() -> None:
    """An empty environment is enough."""
    config = Config.from_environ({})
    assert (config.model, config.precision, config.orientation, config.threads) == ("auto", "exact", "apply", 0)
    assert config.index == Path("~/.local/share/lookalike/photos.lookalike").expanduser()
    assert config.hub.hub_cache == Path("~/.cache/huggingface/hub").expanduser()
    assert not config.hub.offline
    assert config.hub.token is None


def test_variables_win_over_defaults() -> None:
    """Each variable sets its setting; folders may start with ~."""
    config = Config.from_environ(
        {
            "LOOKALIKE_MODEL": "tiny",
            "LOOKALIKE_PRECISION": "int8",
            "LOOKALIKE_ORIENTATION": "ignore",
            "LOOKALIKE_THREADS": "3",
            "LOOKALIKE_INDEX": "~/pictures.lookalike",
            "LOOKALIKE_PROJECT": "shop",
            "LOOKALIKE_MAX_BYTES": "1000",
            "LOOKALIKE_MAX_PIXELS": "2000",
            "LOOKALIKE_CACHE_DIR": "/somewhere",
        }
    )
    assert (config.model, config.precision, config.orientation, config.threads) == ("tiny", "int8", "ignore", 3)
    assert config.index == Path("~/pictures.lookalike").expanduser()
    assert (config.project, config.max_bytes, config.max_pixels) == ("shop", 1000, 2000)
    assert config.cache_dir == Path("/somewhere")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HOME": "/hf", "HF_HUB_CACHE": "/cache"}, "/cache"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
    ],
)
def test_the_hub_cache_is_where_hugging_face_keeps_it(environ: dict[str, str], expected: str) -> None:
    """HF_HUB_CACHE before HF_HOME before XDG_CACHE_HOME, as huggingface_hub has it."""
    assert Config.from_environ(environ).hub.hub_cache == Path(expected)


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("ON", True), ("0", False), ("", False)])
def test_offline_variables_are_understood(name: str, value: str, expected: bool) -> None:
    """Either variable switches every download off."""
    assert Config.from_environ({name: value}).hub.offline is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOOKALIKE_PRECISION", "fp16"),
        ("LOOKALIKE_ORIENTATION", "upright"),
        ("LOOKALIKE_THREADS", "two"),
        ("LOOKALIKE_THREADS", "-1"),
        ("LOOKALIKE_MAX_BYTES", "1e6"),
        ("HF_HUB_OFFLINE", "maybe"),
        ("LOOKALIKE_PORT", "65536"),
        ("LOOKALIKE_PORT", "http"),
        ("LOOKALIKE_MAX_REQUESTS", "0"),
        ("LOOKALIKE_MAX_BODY_BYTES", "64 MiB"),
        ("LOOKALIKE_REQUEST_TIMEOUT_S", "0"),
        ("LOOKALIKE_DRAIN_S", "inf"),
        ("LOOKALIKE_ALLOW_URLS", "some"),
        ("LOOKALIKE_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    """The sentence names the variable and the value."""
    with pytest.raises(ConfigError, match=name) as caught:
        Config.from_environ({name: value})
    assert value in str(caught.value)


@pytest.mark.parametrize(
    "name", ["LOOKALIKE_INDEX", "LOOKALIKE_CACHE_DIR", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"]
)
def test_the_home_of_nobody_is_named(name: str) -> None:
    """A folder below the home of a user who does not exist is an error of that variable."""
    with pytest.raises(ConfigError, match=f"^{name}: .*~nosuchuser/x"):
        Config.from_environ({name: "~nosuchuser/x"})


HOMELESS = """if True:
    import os
    from lookalike.config import Config, ServeSettings
    from lookalike.errors import ConfigError
    os.setgroups([])
    os.setuid(3999999)
    whole = {"LOOKALIKE_INDEX": "/i", "LOOKALIKE_CACHE_DIR": "/c", "HF_HOME": "/h"}
    print(Config.from_environ(whole).index)
    for name in whole:
        try:
            Config.from_environ({**whole, name: ""})
        except ConfigError as error:
            print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without a home")
def test_without_a_home_folder_variables_are_enough() -> None:
    """In a container with a user of no name, settings that are given work, and one that is not is named."""
    environ = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], check=True, capture_output=True, text=True, env=environ, cwd="/"
    )
    index, *errors = done.stdout.splitlines()
    assert index == "/i"
    assert [error.split(":")[0] for error in errors] == ["XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CACHE_HOME"]


def test_a_token_is_never_shown() -> None:
    """Neither repr nor str of the settings contains it."""
    config = Config.from_environ({"HF_TOKEN": "hf_secret"})
    assert config.hub.token == "hf_secret"
    assert "hf_secret" not in f"{config!r} {config}"


def test_variables_of_the_service_win_over_defaults() -> None:
    """Each variable sets its setting; lists are separated by commas; nothing is open, allowed or limited by default."""
    assert Config.from_environ({}).serve == ServeSettings()
    found = Config.from_environ(
        {
            "LOOKALIKE_HOST": "10.0.0.1",
            "LOOKALIKE_PORT": "80",
            "LOOKALIKE_WORKERS": "3",
            "LOOKALIKE_API_KEYS_FILE": "/etc/keys",
            "LOOKALIKE_REQUESTS_PER_MINUTE": "60",
            "LOOKALIKE_REQUEST_TIMEOUT_S": "2.5",
            "LOOKALIKE_MAX_REQUEST_TIMEOUT_S": "5",
            "LOOKALIKE_MAX_BODY_BYTES": "1000",
            "LOOKALIKE_MAX_REQUESTS": "7",
            "LOOKALIKE_MAX_BATCH_ITEMS": "8",
            "LOOKALIKE_MAX_TEXT_CHARS": "9",
            "LOOKALIKE_ALLOW_URLS": "1",
            "LOOKALIKE_CORS_ORIGINS": "https://a.example, https://b.example",
            "LOOKALIKE_TRUSTED_PROXIES": "127.0.0.1",
            "LOOKALIKE_DRAIN_S": "1",
            "LOOKALIKE_LOG_LEVEL": "warning",
        }
    ).serve
    assert found == ServeSettings(
        host="10.0.0.1",
        port=80,
        workers=3,
        api_keys_file=Path("/etc/keys"),
        requests_per_minute=60,
        request_timeout_s=2.5,
        max_request_timeout_s=5.0,
        max_body_bytes=1000,
        max_requests=7,
        max_batch_items=8,
        max_text_chars=9,
        allow_urls=True,
        cors_origins=("https://a.example", "https://b.example"),
        trusted_proxies=("127.0.0.1",),
        drain_s=1.0,
        log_level="warning",
    )


def test_api_keys_are_never_shown() -> None:
    """Neither repr nor str of the settings contains one."""
    config = Config.from_environ({"LOOKALIKE_API_KEYS": "shop embed 0123456789abcdef"})
    assert config.serve.api_keys
    assert "0123456789abcdef" not in f"{config!r} {config}"


@pytest.mark.parametrize(
    ("environ", "model"),
    [
        ({"EMBEDDINGS_PROVIDER": "openai"}, "openai:text-embedding-3-small"),
        (
            {"EMBEDDINGS_PROVIDER": "OpenAI", "EMBEDDINGS_MODEL": "text-embedding-3-large"},
            "openai:text-embedding-3-large",
        ),
        ({"EMBEDDING_MODE": "cohere"}, "cohere:embed-v4.0"),
        ({"EMBEDDINGS_PROVIDER": "gemini", "EMBEDDING_MODE": "gemini"}, "gemini:gemini-embedding-2"),
        ({"EMBEDDINGS_PROVIDER": "local"}, "auto"),
        ({"EMBEDDINGS_PROVIDER": "local", "EMBEDDINGS_MODEL": "tiny"}, "tiny"),
        ({"EMBEDDINGS_MODEL": "openai:text-embedding-3-small"}, "openai:text-embedding-3-small"),
        ({"EMBEDDINGS_PROVIDER": "openai", "LOOKALIKE_MODEL": "tiny"}, "tiny"),
        ({"EMBEDDINGS_PROVIDER": "lookalike", "EMBEDDINGS_MODEL": "http://gpu:8000"}, "lookalike:http://gpu:8000"),
    ],
)
def test_a_provider_and_a_model_make_a_name(environ: dict[str, str], model: str) -> None:
    """The conventional variables name the same models as LOOKALIKE_MODEL, which wins over them."""
    assert Config.from_environ(environ).model == model


@pytest.mark.parametrize(
    "environ",
    [
        {"EMBEDDINGS_PROVIDER": "opnai"},
        {"EMBEDDINGS_PROVIDER": "openai", "EMBEDDING_MODE": "local"},
        {"EMBEDDINGS_PROVIDER": "azure"},
        {"LOOKALIKE_MAX_COST_USD": "ten"},
        {"LOOKALIKE_MAX_COST_USD": "-1"},
    ],
)
def test_a_wrong_setting_of_a_provider_is_named(environ: dict[str, str]) -> None:
    """What cannot be used is refused with the variable's name."""
    with pytest.raises(ConfigError, match=next(iter(environ))):
        Config.from_environ(environ)


def test_keys_are_read_under_the_providers_own_names_and_never_shown() -> None:
    """The first variable that is set counts; neither a key nor a password is in any repr."""
    environ = {
        "CO_API_KEY": "sk-secret-1",
        "HF_TOKEN": "hf-secret-2",
        "LOOKALIKE_CACHE": "postgresql://u:secret-3@db/x",
    }
    config = Config.from_environ(environ)
    assert config.providers.keys["cohere"].reveal() == "sk-secret-1"
    assert config.providers.keys["huggingface"].reveal() == "hf-secret-2"
    assert "openai" not in config.providers.keys
    assert "secret" not in repr(replace(config, hub=None, terminal={}))


def test_a_file_adds_what_the_environment_does_not_set(tmp_path: Path) -> None:
    """Quotes, comments and "export" are understood in ".env"; variables of the process win."""
    (tmp_path / ".env").write_text(
        "# keys\nexport OPENAI_API_KEY='sk-a b#c'\nCOHERE_API_KEY = co-1 # mine\n\n"
        'JINA_API_KEY="j\\"1"\nLOOKALIKE_PROJECT=file\n',
        encoding="utf-8",
    )
    code = """if True:
        from lookalike import Config
        config = Config.from_environ()
        print([config.providers.keys[name].reveal() for name in ("openai", "cohere", "jina")], config.project)"""
    environ = {**os.environ, "LOOKALIKE_PROJECT": "process"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == """['sk-a b#c', 'co-1', 'j"1'] process"""


def test_a_bad_line_of_the_file_is_named_without_its_value(tmp_path: Path) -> None:
    """A line that is no NAME=value is refused by its number; what is in it may be a secret."""
    (tmp_path / ".env").write_text("A=1\nsk-secret\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2") as caught:
        dotenv(tmp_path / ".env")
    assert "secret" not in str(caught.value)
