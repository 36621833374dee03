"""Estimates before a job: the rules, the order, and that nothing unknown is shown as a number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from lookalike.cli import main
from lookalike.config import Config
from lookalike.cost import Estimate, Job, LocalSpeed, estimate, measure, tokens_of
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.providers.prices import offers
from lookalike.usage import Offer, PixelPrice, Price, Rates
from tests.pictures import picture

JOB = Job(images=3_000_000, texts=1_000_000, queries_per_month=100_000, text_chars=400, query_chars=40)
LOCAL = LocalSpeed(model="tiny", dim=128, images_per_s=100.0, texts_per_s=1_000.0)


def offer(model: str, **facts: object) -> Offer:
    return replace(Offer(model=model, dim=1000, embeds_images=False, source="here", dated=date(2026, 1, 1)), **facts)


def only(job: Job, of: Offer) -> Estimate:
    (row,) = estimate(job, [of])
    return row


def test_texts_are_billed_by_a_quarter_of_their_characters() -> None:
    """400 characters are 100 tokens, 40 are 10; a million tokens cost what the table says."""
    row = only(JOB, offer("openai:a", price=Price(million_tokens_usd=0.02), batch=Price(million_tokens_usd=0.01)))
    assert row.texts_usd == pytest.approx(100 * 0.02)
    assert row.month_usd == pytest.approx(0.02)
    assert tokens_of(1) == 1
    assert tokens_of(5) == 2


def test_a_model_without_pictures_says_so_and_counts_texts_alone() -> None:
    """No money for pictures, no bytes and no room for them; batches are cheaper for what it does embed."""
    row = only(JOB, offer("openai:a", price=Price(million_tokens_usd=0.02), batch=Price(million_tokens_usd=0.01)))
    assert row.images_usd is None
    assert row.embeds_images is False
    assert "It embeds no pictures." in row.notes
    assert row.sent_bytes == 400_000_000
    assert row.stored_bytes == 1_000_000 * 1000 * 2
    assert row.batch_usd == pytest.approx(1.0)


def test_pictures_are_billed_one_by_one_or_by_their_pixels() -> None:
    """$0.00006 each; or 1,024 x 768 pixels at the price of a billion."""
    each = only(JOB, offer("bedrock:b", embeds_images=True, price=Price(image_usd=0.00006)))
    assert each.images_usd == pytest.approx(180)
    pixels = PixelPrice(billion_pixels_usd=0.6, least_usd=0.00003, most_usd=0.0012)
    row = only(JOB, offer("voyage:v", embeds_images=True, price=Price(image_usd=0.0012), pixels=pixels))
    assert row.images_usd == pytest.approx(3_000_000 * 1024 * 768 * 0.6e-9)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"embeds_images": True, "price": Price(million_tokens_usd=1, million_image_tokens_usd=2)}, "billed by tokens"),
        ({"embeds_images": True}, "The price is not known"),
        ({"embeds_images": True, "price": Price(million_tokens_usd=1)}, "What its pictures cost is not known"),
        ({"embeds_images": None, "price": Price(million_tokens_usd=1)}, "not known here"),
    ],
)
def test_what_is_not_known_is_none_with_a_sentence(facts: dict[str, object], sentence: str) -> None:
    """No price, an unknown number of tokens and an unknown modality are never shown as a number."""
    row = only(JOB, offer("x:y", **facts))
    assert row.images_usd is None
    assert any(sentence in note for note in row.notes)


def test_time_follows_the_limits_of_a_key() -> None:
    """Pictures after texts, by whichever limit is reached first; unknown where a limit that is needed is."""
    rates = Rates(texts_per_minute=2_000, images_per_minute=400, tokens_per_minute=1_000_000)
    row = only(JOB, offer("cohere:c", embeds_images=True, rates=rates))
    assert row.seconds == pytest.approx(60 * (max(1_000_000 / 2_000, 100.0) + 3_000_000 / 400))
    assert only(JOB, offer("jina:j", embeds_images=True, rates=Rates(tokens_per_minute=1))).seconds is None
    by_pixels = Rates(tokens_per_minute=10**9, pixels_per_minute=JOB.image_pixels)
    assert only(Job(images=7), offer("voyage:v", embeds_images=True, rates=by_pixels)).seconds == 7 * 60
    texts_only = replace(JOB, images=0)
    assert only(texts_only, offer("jina:j", embeds_images=True, rates=Rates(tokens_per_minute=10**8))).seconds == 60
    assert only(Job(queries_per_month=5), offer("openai:a")).seconds == 0


def test_the_order_is_here_then_pictures_then_texts_each_by_money() -> None:
    """This machine first, then who embeds pictures by money, unknown prices behind known ones, then text models."""
    rows = estimate(
        JOB,
        [
            offer("openai:a", price=Price(million_tokens_usd=0.01)),
            offer("jina:unknown", embeds_images=True),
            offer("voyage:dear", embeds_images=True, price=Price(image_usd=0.01)),
            offer("bedrock:cheap", embeds_images=True, price=Price(image_usd=0.001)),
        ],
        LOCAL,
    )
    assert [row.model for row in rows] == ["tiny", "bedrock:cheap", "voyage:dear", "jina:unknown", "openai:a"]
    here = rows[0]
    assert (here.images_usd, here.texts_usd, here.month_usd, here.sent_bytes) == (0, 0, 0, 0)
    assert here.seconds == pytest.approx(30_000 + 1_000)


def test_this_machine_is_measured_by_the_best_round() -> None:
    """Pictures and texts a second are those of the quickest round, after one that is not counted."""
    ticks: Iterator[float] = iter([0, 4, 10, 12, 20, 23, 100, 102, 110, 111, 120, 124])
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    speed = measure(embedder, [picture("red")] * 4, clock=lambda: next(ticks))
    assert speed.images_per_s == pytest.approx(4 / 2)
    assert speed.texts_per_s == pytest.approx(64 / 1)
    assert speed.dim == embedder.space.dim


def run(*arguments: str) -> str:
    config = replace(Config.from_environ({}), model="tiny")
    result = CliRunner().invoke(main, ["cost", *arguments], obj=config, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_shows_every_provider_and_this_machine() -> None:
    """The table names each model once, says "text only" where that is so, and has no figure for what is unknown."""
    shown = run("--images", "1000", "--texts", "1000", "--picture-side", "64")
    lines = {line.split()[0]: line for line in shown.splitlines() if line.startswith((" openai:", " jina:", " here:"))}
    assert "text only" in lines["openai:text-embedding-3-small"]
    assert "$" not in lines["jina:jina-clip-v2"]
    assert "tiny" in lines["here:"]


def test_the_command_fits_a_narrow_terminal() -> None:
    """At 80 columns no line is cut, and a long name breaks where one reads a pause."""
    config = replace(Config.from_environ({}), model="tiny")
    arguments = ["cost", "--images", "3000000", "--texts", "1000000", "--queries-per-month", "9000000"]
    result = CliRunner().invoke(main, [*arguments, "--picture-side", "64"], obj=config, env={"COLUMNS": "80"})
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["multimodal-embeddings-"] for line in lines)
    assert "…" not in result.stdout


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_the_command_names_its_models_however_narrow(columns: int) -> None:
    """No model's name is lost for want of room, nor what its figures are."""
    config = replace(Config.from_environ({}), model="tiny")
    arguments = ["cost", "--images", "3000000", "--picture-side", "64"]
    result = CliRunner().invoke(main, arguments, obj=config, env={"COLUMNS": str(columns)})
    assert max(map(len, result.stdout.splitlines())) <= columns
    joined = "".join(result.stdout.split())
    assert all(f"{offer.model}pictures" in joined for offer in offers())


def test_the_command_as_json_has_sources_and_dates() -> None:
    """Every hosted row says where its price is from and when; this machine's speed is beside them."""
    document = json.loads(run("--images", "10", "--picture-side", "64", "--json"))
    hosted = document["estimates"][1:]
    assert all(row["source"] and date.fromisoformat(row["dated"]) for row in hosted)
    assert document["local"]["images_per_s"] > 0
    assert document["job"]["images"] == 10


def test_a_cache_does_not_make_this_machine_look_fast(tmp_path: Path) -> None:
    """The model itself is measured: with a cache configured, nothing is looked up in it or kept."""
    config = replace(Config.from_environ({}), model="tiny", cache=str(tmp_path / "vectors.sqlite"))
    result = CliRunner().invoke(main, ["cost", "--images", "10", "--picture-side", "64"], obj=config)
    assert result.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_estimate_is_said() -> None:
    """Without a number there is no table, but a sentence and status 2."""
    result = CliRunner().invoke(main, ["cost"], obj=Config.from_environ({}))
    assert result.exit_code == 2
    assert "Say what is to be embedded" in result.output
