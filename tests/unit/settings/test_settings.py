"""The settings tree: resolution order, refusals with remedies, secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vapo.settings import Settings, SettingsError, dump_settings, load_settings
from vapo.settings.renamed import RENAMED

TOKEN = "a-token-long-enough-for-the-rule"


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[run]\nseed = 2\n[trainer]\nmax_steps = 20\nwarmup_steps = 2\n")
    settings = load_settings(
        file,
        ["trainer.max_steps=40"],
        environment={"VAPO__TRAINER__MAX_STEPS": "30", "VAPO__TRAINER__WARMUP_STEPS": "3"},
        base={"run": {"seed": 1, "name": "from-preset"}},
    )
    assert settings.run.name == "from-preset"
    assert settings.run.seed == 2
    assert settings.trainer.warmup_steps == 3
    assert settings.trainer.max_steps == 40


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("trainer.actor_learning_rat=1", ["trainer.actor_learning_rat", "trainer.actor_learning_rate"]),
        ("sampler.temperature=1", ["sampler"]),
        ("sampling.temperature=-1", ["sampling.temperature", "greater than 0"]),
        ("trainer.max_steps", ["section.key=value"]),
        ("sampling.max_new_tokens=9999", ["max_new_tokens=9999", "max_context_tokens"]),
        ("trainer.mini_batch_rollouts=999999", ["mini_batch_rollouts=999999", "lower it"]),
        ("network.advertise_host=http://a:1", ["network.advertise_host", "scheme or port"]),
        ("gateway.host=0.0.0.0", ["gateway.host=0.0.0.0", "user_token"]),
        ('security.user_token="short"', ["security", "shorter than 16"]),
        ("ledger.lease_seconds=Infinity", ["ledger.lease_seconds", "finite"]),
        ("verifier.reward_correct=NaN", ["verifier.reward_correct", "finite"]),
    ],
)
def test_refusals_name_thing_value_and_remedy(assignment: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(assignments=[assignment], environment={})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("truncation", ["soft_punishment", "mask_and_punish"])
def test_a_punished_length_lowers_the_least_reward(truncation: str) -> None:
    settings = load_settings(assignments=[f"algorithm.truncation={truncation}"], environment={})
    assert settings.reward_range == (-2.0, 1.0)
    assert Settings().reward_range == (-1.0, 1.0)


@pytest.mark.parametrize("name", RENAMED)
def test_a_setting_of_an_earlier_version_is_refused_with_what_took_its_place(name: str) -> None:
    refusal = rf"{name}=7 is a setting of an earlier version; set {re.escape(RENAMED[name].instead)} instead"
    with pytest.raises(SettingsError, match=refusal):
        load_settings(assignments=[f"{name}=7"], environment={})
    section, _, key = name.partition(".")
    with pytest.raises(SettingsError, match=refusal):
        load_settings(environment={f"VAPO__{section}__{key}".upper(): "7"})


@pytest.mark.parametrize("name", RENAMED)
def test_a_resolved_file_of_an_earlier_version_is_still_read(name: str, tmp_path: Path) -> None:
    section, _, key = name.partition(".")
    tree = dump_settings(Settings())
    tree[section][key] = RENAMED[name].default
    (tmp_path / "settings.json").write_text(json.dumps(tree))
    assert load_settings(tmp_path / "settings.json", environment={}) == Settings()


@pytest.mark.parametrize("name", RENAMED)
def test_what_became_of_a_setting_exists_and_is_told(name: str) -> None:
    told = (Path(__file__).parents[3] / "docs" / "upgrading.md").read_text("utf-8")
    assert f"`{name}`" in told
    section, _, key = re.match(r"[a-z_.]+", RENAMED[name].instead)[0].partition(".")  # type: ignore[index]
    assert key in dump_settings(Settings())[section]


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml"):
        load_settings(tmp_path / "missing.toml", environment={})


def test_a_file_that_is_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(SettingsError, match=r"list\.json holds a list"):
        load_settings(tmp_path / "list.json", environment={})


@pytest.mark.parametrize("words", [["trainer=5", "trainer.epochs=2"], ["a.b=1", "a.b.c=2"]])
def test_a_value_and_keys_under_it_are_refused(words: list[str]) -> None:
    with pytest.raises(SettingsError, match="one by one"):
        load_settings(assignments=words, environment={})


def test_a_name_or_token_may_look_like_a_number() -> None:
    settings = load_settings(
        assignments=["run.name=2026", "model.path=7"],
        environment={"VAPO__SECURITY__USER_TOKEN": "11112222333344445555"},
    )
    assert (settings.run.name, settings.model.path) == ("2026", Path("7"))
    assert settings.security.user_token is not None
    assert settings.security.user_token.get_secret_value() == "11112222333344445555"


def test_dump_is_loadable_and_hides_tokens(tmp_path: Path) -> None:
    names = ("user_token", "admin_token", "service_token")
    settings = load_settings(
        assignments=["gateway.host=0.0.0.0", *(f'security.{name}="{TOKEN}"' for name in names)], environment={}
    )
    assert TOKEN not in json.dumps(dump_settings(settings))
    file = tmp_path / "resolved.json"
    file.write_text(json.dumps(dump_settings(settings, reveal_secrets=True)))
    assert load_settings(file, environment={}) == settings


def test_a_refused_token_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(assignments=['security.user_token="hunter2"'], environment={})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://:hunter2@a:1/0", "redis+sentinel://b:hunter2@a/primary"])
def test_a_password_in_the_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="password_file") as caught:
        load_settings(assignments=[f"redis.url={url}"], environment={})
    assert "hunter2" not in str(caught.value)


def test_every_field_is_documented() -> None:
    for name, section in Settings.model_fields.items():
        assert section.annotation is not None
        for key, field in section.annotation.model_fields.items():
            assert field.description, f"{name}.{key} has no docstring"


@pytest.mark.parametrize("setting", ["estimator=group", "drop_uniform_groups=true"])
def test_groups_of_one_response_are_refused_where_rewards_of_a_group_are_compared(setting: str) -> None:
    assignments = [f"algorithm.{setting}", "sampling.samples_per_prompt=1"]
    remedy = re.escape(f"algorithm.{setting} nothing to compare") + ".*samples_per_prompt to 2 or more"
    with pytest.raises(SettingsError, match=remedy):
        load_settings(assignments=assignments, environment={})
    load_settings(assignments=[assignments[0], "sampling.samples_per_prompt=2"], environment={})
    load_settings(assignments=assignments[1:], environment={})


@pytest.mark.parametrize(("publish", "staleness", "steps"), [(2, 0, 300), (4, 2, 300), (9, 1, 3)])
def test_weights_that_would_always_be_too_old_are_refused(publish: int, staleness: int, steps: int) -> None:
    assignments = [f"trainer.publish_every_steps={publish}", f"trainer.max_steps={steps}"]
    remedy = f"raise ledger.max_staleness to {min(publish, steps) - 1}"
    with pytest.raises(SettingsError, match=remedy):
        load_settings(None, [*assignments, f"ledger.max_staleness={staleness}"], {})
    load_settings(None, [*assignments, f"ledger.max_staleness={min(publish, steps) - 1}"], {})


def test_admission_capacity_follows_the_staleness_limit() -> None:
    settings = load_settings(
        assignments=[
            "trainer.prompts_per_step=4",
            "sampling.samples_per_prompt=8",
            "trainer.mini_batch_rollouts=16",
            "ledger.max_staleness=2",
        ],
        environment={},
    )
    assert settings.admission_capacity == 3 * 4 * 8


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.toml", "[run]\nseed = 3\n"), ("a.json", '{"run": {"seed": 3}}'), ("crlf.toml", "[run]\r\nseed = 3\r\n")],
)
def test_a_file_as_windows_editors_write_it(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_settings(tmp_path / name, environment={}).run.seed == 3


@pytest.mark.parametrize("host", ["my_host", "_a", "trainer-0.trainer_pods", "10.0.0.1", "fe80::1"])
def test_host_names_as_networks_give_them(host: str) -> None:
    settings = load_settings(
        assignments=[f"network.advertise_host={host}", "redis.url=redis://my_redis:6379/0"], environment={}
    )
    assert settings.network.advertise_host == host


@pytest.mark.parametrize("host", ["http://a", "a:80", "a/b", "-a", "ä", ""])
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="advertise_host"):
        load_settings(assignments=[f'network.advertise_host="{host}"'], environment={})


@pytest.mark.parametrize("key", ["run.directory", "redis.password_file", "value_pretraining.checkpoint"])
def test_a_home_folder_in_any_path_is_understood(key: str) -> None:
    section, name = key.split(".")
    for source in (
        {"assignments": [f"{key}=~/x"], "environment": {}},
        {"environment": {f"VAPO__{section.upper()}__{name.upper()}": "~/x"}},
    ):
        settings = load_settings(**source)  # type: ignore[arg-type]
        assert getattr(getattr(settings, section), name) == Path.home() / "x"
    with pytest.raises(SettingsError, match="names no home folder here"):
        load_settings(assignments=[f"{key}=~nobody-of-that-name/x"], environment={})
