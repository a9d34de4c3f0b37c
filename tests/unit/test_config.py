"""Settings: every variable, refusals that name it, secrets that stay secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from outreach_sdk.config import SOCKET_PATH_LIMIT, VARIABLES, Secret, Settings
from outreach_sdk.errors import ConfigError

EVERYTHING = {
    "DATABASE_URL": "postgresql://ana:hush-db@db/outreach",
    "REDIS_URL": "redis://:hush-redis@cache:6379/1",
    "OUTREACH_HOME": "/srv/outreach",
    "OUTREACH_API_KEY": "hush-key",
    "OUTREACH_USER": "ana",
    "OUTREACH_SECRET_KEYS": "hush-new, hush-old",
    "OUTREACH_PUBLIC_URL": "https://hooks.example.com/",
    "OPENAI_API_KEY": "hush-openai",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "OUTREACH_OPENAI_MODEL": "small",
    "OUTREACH_GMAIL_ENDPOINT": "http://127.0.0.1:9",
    "OUTREACH_GOOGLE_TOKEN_URI": "http://127.0.0.1:9/oauth2/token",
    "OUTREACH_GOOGLE_AUTH_URI": "http://127.0.0.1:9/auth",
    "OUTREACH_GOOGLE_CERTS_URL": "http://127.0.0.1:9/certs",
    "OUTREACH_GOOGLE_CALENDAR_ENDPOINT": "http://127.0.0.1:9/calendar/v3",
    "OUTREACH_GMAIL_PUSH_TOPIC": "projects/acme/topics/gmail",
    "OUTREACH_GMAIL_PUSH_ACCOUNT": "push@acme.example",
    "OUTREACH_GMAIL_PUSH_AUDIENCE": "outreach",
    "OUTREACH_PANEL_WEBHOOK_FIELDS": '{"fields": {"id": "id", "email": "who"}, "canceled": ["no"]}',
    "OUTREACH_GOOGLE_CLIENT_ID": "google-client",
    "OUTREACH_GOOGLE_CLIENT_SECRET": "hush-google",
    "OUTREACH_MICROSOFT_CLIENT_ID": "microsoft-client",
    "OUTREACH_MICROSOFT_CLIENT_SECRET": "hush-microsoft",
    "OUTREACH_MICROSOFT_TENANT": "acme.example",
    "OUTREACH_GRAPH_ENDPOINT": "http://127.0.0.1:9/v1.0",
    "OUTREACH_MICROSOFT_AUTHORITY": "http://127.0.0.1:9/common",
    "OUTREACH_STAGGER_SECONDS": "0",
    "OUTREACH_MAX_PARALLEL_SENDS": "7",
    "OUTREACH_SMTP_URL": "smtp://u:hush-smtp@mail:587",
    "OUTREACH_NOTICE_HOSTS": "chat.internal, 10.0.0.7",
    "OUTREACH_WEB_HOST": "0.0.0.0",
    "OUTREACH_POLL_SECONDS": "60",
    "OUTREACH_SEND_TIMEOUT": "5",
    "OUTREACH_LEASE_SECONDS": "9",
    "OUTREACH_DRAIN_SECONDS": "2.5",
    "OUTREACH_TICK_SECONDS": "0.1",
    "OUTREACH_WEB_PORT": "8080",
    "OUTREACH_HUNTER_API_KEY": "hush-hunter",
    "OUTREACH_HUNTER_ENDPOINT": "http://127.0.0.1:9/hunter",
    "OUTREACH_CALENDLY_WEBHOOK_SECRETS": "hush-a,hush-b",
}


def test_defaults() -> None:
    settings = Settings.from_env({})
    assert settings.home == Path(".outreach").resolve()
    assert settings.database_url == f"sqlite:///{settings.home}/outreach.db"
    assert settings.embedded
    assert (settings.stagger_seconds, settings.max_parallel_sends, settings.poll_seconds) == (3, 50, 300)
    assert (settings.send_timeout, settings.lease_seconds, settings.drain_seconds) == (30, 120, 30)
    assert (settings.tick_seconds, settings.web_port) == (1, 8765)
    assert settings.broker_url == f"unix://{settings.home}/redis.sock"
    assert settings.secret_keys == ()
    assert Settings.from_env({"OUTREACH_USER": "  ", "REDIS_URL": ""}) == settings


def test_every_variable_is_read_and_survives_a_child_s_environment() -> None:
    assert set(EVERYTHING) > VARIABLES
    settings = Settings.from_env(EVERYTHING)
    assert settings.secret_keys == (Secret("hush-new"), Secret("hush-old"))
    assert settings.public_url == "https://hooks.example.com"
    assert settings.max_parallel_sends == 7
    assert settings.stagger_seconds == 0
    assert settings.vendor_keys == {"hunter": Secret("hush-hunter")}
    assert settings.vendor_endpoints == {"hunter": "http://127.0.0.1:9/hunter"}
    assert [s.reveal() for s in settings.webhook_secrets["calendly"]] == ["hush-a", "hush-b"]
    assert settings.webhook_fields["panel"]["fields"] == {"id": "id", "email": "who"}
    assert not settings.embedded
    assert Settings.from_env(settings.as_env()) == settings


def test_nothing_secret_is_shown() -> None:
    settings = Settings.from_env(EVERYTHING)
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings)
    assert "hush" not in f"{settings.api_key} {settings.api_key!r} {settings.secret_keys}"


def test_keywords_win_and_none_means_the_variable() -> None:
    env = {"OUTREACH_USER": "ana", "OUTREACH_POLL_SECONDS": "60"}
    settings = Settings.from_env(env, user="ben", poll_seconds=None, api_key="k", home="~/x")
    assert (settings.user, settings.poll_seconds) == ("ben", 60)
    assert settings.api_key == Secret("k")
    assert settings.home == Path("~/x").expanduser().resolve()
    with pytest.raises(ConfigError, match="colour: there is no such setting"):
        Settings.from_env({}, colour="red")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OUTREACH_STAGGER_SECONDS", "-1"),
        ("OUTREACH_STAGGER_SECONDS", "nan"),
        ("OUTREACH_STAGGER_SECONDS", "soon"),
        ("OUTREACH_POLL_SECONDS", "0"),
        ("OUTREACH_POLL_SECONDS", "inf"),
        ("OUTREACH_MAX_PARALLEL_SENDS", "0"),
        ("OUTREACH_MAX_PARALLEL_SENDS", "2.5"),
        ("OUTREACH_TICK_SECONDS", "0"),
        ("OUTREACH_WEB_PORT", "70000"),
        ("OUTREACH_PUBLIC_URL", "hooks.example.com"),
        ("OUTREACH_GMAIL_ENDPOINT", "ftp://x"),
        ("OUTREACH_GRAPH_ENDPOINT", "http://x:port"),
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "sqlite://"),
        ("REDIS_URL", "localhost:6379"),
        ("OUTREACH_USER", "a\nb"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        Settings.from_env({variable: value})
    assert value.encode("unicode_escape").decode() in str(caught.value)
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OUTREACH_API_KEY", "hush\x00"),
        ("OUTREACH_WORKABLE_API_KEY", "hush"),
        ("OUTREACH_WORKABLE_API_KEY", "hush.example/:token"),
        ("OUTREACH_RECRUITEE_API_KEY", ":hush"),
        ("OUTREACH_SMTP_URL", "imap://u:hush@h"),
        ("OUTREACH_NOTICE_HOSTS", "a b/c"),
        ("OUTREACH_WEB_HOST", "a b:80"),
        ("DATABASE_URL", "mysql://u:hush@h/x"),
        ("REDIS_URL", "http://u:hush@h"),
    ],
)
def test_a_refusal_never_shows_a_secret(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        Settings.from_env({variable: value})
    assert "hush" not in str(caught.value)


def test_a_relative_database_means_the_same_file_in_another_folder() -> None:
    assert (
        Settings.from_env({"DATABASE_URL": "sqlite:///x.db"}).database_url == f"sqlite:///{Path.cwd()}/x.db"
    )
    assert Settings.from_env({"DATABASE_URL": "postgres://h/x"}).database_url == "postgresql://h/x"


def test_the_home_is_made_private_or_refused(tmp_path: Path) -> None:
    settings = Settings.from_env({}, home=tmp_path / "a" / "home")
    assert settings.ensure_home().stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="OUTREACH_HOME"):
        Settings.from_env({}, home=tmp_path / "file" / "home").ensure_home()


def test_a_read_only_home_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    home = Path("/proc/self") if os.getuid() == 0 else tmp_path  # root writes wherever a file system lets it
    with pytest.raises(ConfigError, match="OUTREACH_HOME"):
        Settings.from_env({}, home=home).ensure_home()


def test_a_long_home_has_a_short_socket_and_copies_don_t_share_it(tmp_path: Path) -> None:
    settings = Settings.from_env({}, home=tmp_path / ("x" * 120))
    assert len(os.fsencode(settings.socket_dir / "control.sock")) <= SOCKET_PATH_LIMIT
    assert settings.socket_dir == Settings.from_env({}, home=settings.home).socket_dir
    other = Settings.from_env({}, home=tmp_path / ("y" * 120))
    assert other.socket_dir != settings.socket_dir
    settings.ensure_home()
    other.ensure_home()
    run = f'{{"home": "{settings.home}", "socket_dir": "/elsewhere"}}'
    for home in (settings.home, other.home):
        (home / "run.json").write_text(run)
    assert settings.socket_dir == Path("/elsewhere")
    assert other.socket_dir != Path("/elsewhere")


def test_importing_settings_is_light() -> None:
    heavy = "import sys, outreach_sdk.config; print(*{m.split('.')[0] for m in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert not {"redis", "rq", "peewee", "polars", "requests", "click"} & set(ran.stdout.split())


def test_what_sends_carries_nothing_of_what_reads_files_and_answers() -> None:
    heavy = "import sys, outreach_sdk.engine.dispatch, outreach_sdk.wiring; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    idle = {"phonenumbers", "email_validator", "rapidfuzz", "holidays", "polars", "openai", "googleapiclient"}
    idle |= {"flufl", "quotequail", "charset_normalizer", "requests", "outreach_sdk.domain.classify"}
    assert not idle & set(ran.stdout.split())


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"fields": {"id": "a"}}',
        '{"fields": {"id": "a", "email": "b"}, "kind": "party"}',
        '{"fields": {"id": "a", "email": "b", "age": "c"}}',
        '{"fields": {"id": 1, "email": "b"}}',
    ],
)
def test_a_generic_source_that_cannot_work_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match="OUTREACH_PANEL_WEBHOOK_FIELDS"):
        Settings.from_env({"OUTREACH_PANEL_WEBHOOK_FIELDS": text})
