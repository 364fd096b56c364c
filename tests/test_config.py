"""Settings: where they come from, which wins, what they say of themselves, and what they keep to themselves."""

import json
import logging
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from virtuoso.clock import Span
from virtuoso.config import Settings, keys, reference, show
from virtuoso.errors import ConfigError, SecretError
from virtuoso.prism.settings import PrismSettings, shipped_weights
from virtuoso.settings import SecretText, shipped

REPOSITORY = Path(__file__).parents[1]
SAMPLE = Path(__file__).parent / "data" / "sample_config.yaml"
GUIDE = REPOSITORY / "docs" / "guides" / "configuration.md"
CANARY = "canary7f3a"
KEYS = {
    "BINANCE_API_KEY": f"{CANARY}-bk",
    "BINANCE_API_SECRET": f"{CANARY}-bs",
    "BYBIT_API_KEY": f"{CANARY}-yk",
    "BYBIT_API_SECRET": f"{CANARY}-ys",
}
BINANCE = """
exchanges:
  - name: binance
    type: futures
    api_key: ${BINANCE_API_KEY}
    api_secret: ${BINANCE_API_SECRET}
"""


@pytest.fixture
def project(tmp_path):
    """An empty project folder."""
    (tmp_path / "configs" / "profiles").mkdir(parents=True)
    (tmp_path / "configs" / "weights").mkdir()
    return tmp_path


def load(project, text="", env=None, **given):
    """Load the settings of a project with one file of its own."""
    file = project / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return Settings.load(file, root=project, env=env or {}, **given)


def write_dotenv(project, text, mode=0o600):
    file = project / ".env"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


class TestTheSampleFile:
    """The file that users have loads unchanged."""

    def test_loads_without_any_variable_set(self, project):
        settings = Settings.load(SAMPLE, root=project, env={})
        assert settings.system.environment == "production"
        assert [exchange.venue for exchange in settings.exchanges] == ["binance-spot", "bybit-linear"]
        assert (settings.trading.max_positions, settings.trading.base_position_size) == (10, 0.01)
        assert settings.trading.max_leverage == 3.0
        assert (settings.risk.max_drawdown, settings.risk.position_heat) == (0.15, 0.25)
        assert settings.risk.correlation_limit == 0.7

    def test_loads_with_its_keys_and_with_the_live_profile(self, project):
        settings = Settings.load(SAMPLE, root=project, env=KEYS, profile="live")
        assert settings.secret("bybit").api_key.get_secret_value() == KEYS["BYBIT_API_KEY"]


class TestDefaults:
    """Without any file, the settings are those of the product."""

    def test_are_the_thresholds_that_users_know(self):
        signals = Settings().signals
        assert (signals.bull_enter, signals.bull_leave, signals.bear_leave, signals.bear_enter) == (68, 55, 45, 32)
        assert signals.min_coverage == 0.40
        assert signals.max_age == Span("4h")

    def test_answer_this_machine_alone(self):
        assert (Settings().api.host, Settings().api.port) == ("127.0.0.1", 8000)

    def test_are_what_an_empty_project_loads(self, project):
        assert Settings.load(root=project, env={}).fingerprint() == Settings().fingerprint()

    def test_weigh_every_component_and_every_timeframe_alike(self):
        prism = Settings().prism
        assert dict(prism.timeframes) == dict.fromkeys(("1m", "5m", "30m", "4h"), 0.25)
        faces = prism.faces.by_name().values()
        counts = [face.weight * share for face in faces for share in face.components.values()]
        assert counts == pytest.approx([1 / 41] * 41, abs=1e-15)

    def test_name_the_classic_weights_of_the_product(self, project):
        prism = load(project, "prism: {weights: weights/classic.yaml}").prism
        assert dict(prism.timeframes) == {"1m": 0.40, "5m": 0.30, "30m": 0.20, "4h": 0.10}
        assert {name: face.weight for name, face in prism.faces.by_name().items()} == {
            "technical": 0.17,
            "volume": 0.12,
            "orderflow": 0.25,
            "orderbook": 0.20,
            "price_structure": 0.16,
            "sentiment": 0.10,
        }
        assert {name: len(face.components) for name, face in prism.faces.by_name().items()} == {
            "technical": 6,
            "volume": 7,
            "orderflow": 7,
            "orderbook": 8,
            "price_structure": 7,
            "sentiment": 6,
        }

    @pytest.mark.parametrize("profile", ["research", "paper", "live"])
    def test_ship_with_profiles(self, project, profile):
        expected = "production" if profile == "live" else profile
        assert load(project, profile=profile).system.environment == expected

    def test_are_all_in_the_wheel(self):
        weights = [f"weights/{name}.yaml" for name in ("default", "classic", "slow")]
        project = REPOSITORY / "pyproject.toml"
        included = re.findall(r'^"configs/([^"]+)" = "virtuoso/defaults/([^"]+)"$', project.read_text(), re.MULTILINE)
        assert included == [(name, name) for name in ("base.yaml", "profiles", "studies", *weights)]
        assert all(shipped(name).exists() for name, _ in included)


class TestWhichWins:
    """Base, project, profile, files, environment, command line: the later wins, key by key."""

    def test_each_source_wins_over_the_one_before(self, project):
        (project / "configs/base.yaml").write_text("api: {port: 1001, host: base}")
        (project / "configs/profiles/mine.yaml").write_text("api: {port: 1002}")
        first, second = project / "1.yaml", project / "2.yaml"
        first.write_text("api: {port: 1003}")
        second.write_text("api: {port: 1004}")
        env = {"VIRTUOSO_API__PORT": "1005"}

        def port(*files, **given):
            return Settings.load(*files, root=project, **{"env": {}, **given}).api.port

        assert port() == 1001
        assert port(profile="mine") == 1002
        assert port(first, profile="mine") == 1003
        assert port(first, second, profile="mine") == 1004
        assert port(second, first, profile="mine") == 1003
        assert port(first, second, profile="mine", env=env) == 1005
        assert port(first, second, profile="mine", env=env, overrides={"api.port": 1006}) == 1006
        assert Settings.load(first, root=project, env=env).api.host == "base"

    def test_lists_are_replaced(self, project):
        (project / "configs/base.yaml").write_text(BINANCE)
        settings = load(project, "exchanges: [{name: bybit, type: spot}]")
        assert [exchange.name for exchange in settings.exchanges] == ["bybit"]

    def test_a_ladder_of_timeframes_is_replaced(self, project):
        assert dict(load(project, "prism: {timeframes: {1h: 0.4, 5m: 0.6}}").prism.timeframes) == {"5m": 0.6, "1h": 0.4}

    def test_a_section_with_nothing_in_it_changes_nothing(self, project):
        assert load(project, "signals:\napi: {}\n").fingerprint() == Settings().fingerprint()

    def test_a_profile_of_the_project_wins_over_the_shipped_one(self, project):
        (project / "configs/profiles/paper.yaml").write_text("api: {port: 7}")
        assert load(project, profile="paper").api.port == 7

    def test_an_unknown_profile_names_the_nearest(self, project):
        with pytest.raises(ConfigError, match=r"no profile 'papr'.*Did you mean 'paper'"):
            load(project, profile="papr")

    def test_a_profile_is_not_a_path(self, project):
        (project / "configs/secret.yaml").write_text("api: {port: 7}")
        with pytest.raises(ConfigError, match="no profile"):
            load(project, profile="../secret")

    def test_a_missing_file_names_the_nearest(self, project):
        (project / "mine.yaml").write_text("")
        with pytest.raises(ConfigError, match=r"no configuration file mine\.yml.*Did you mean 'mine\.yaml'"):
            Settings.load(project / "mine.yml", root=project, env={})

    def test_a_profile_given_as_a_file_says_so(self, project):
        with pytest.raises(ConfigError, match="paper is a profile"):
            Settings.load("paper", root=project, env={})

    def test_the_working_directory_is_the_project(self, project, monkeypatch):
        (project / "configs/base.yaml").write_text("api: {port: 7}")
        monkeypatch.chdir(project)
        assert Settings.load(env={}).api.port == 7


class TestTheEnvironment:
    """VIRTUOSO_SECTION__KEY sets a key; the key's own type decides what the text means."""

    def test_sets_numbers_flags_texts_and_spans(self, project):
        env = {
            "VIRTUOSO_SYSTEM__DEBUG_MODE": "true",
            "VIRTUOSO_SIGNALS__MIN_COVERAGE": "5e-1",
            "VIRTUOSO_SIGNALS__MAX_AGE": "1d",
            "VIRTUOSO_SIGNALS__REPORTS": "2024",
            "VIRTUOSO_PRISM__FACES__TECHNICAL__PARAMETERS__RSI": "{period: 21}",
            "VIRTUOSO_PRISM__TIMEFRAMES": "{1m: 0.5, 5m: 0.5}",
            "VIRTUOSO_EXCHANGES": "[{name: bybit, type: spot, api_key: '${BYBIT_API_KEY}'}]",
        }
        settings = load(project, env=env)
        assert settings.system.debug_mode is True
        assert settings.signals.min_coverage == 0.5
        assert settings.signals.max_age == Span("1d")
        assert settings.signals.reports == Path("2024")
        assert settings.prism.faces.technical.parameters["rsi"]["period"] == 21
        assert dict(settings.prism.timeframes) == {"1m": 0.5, "5m": 0.5}
        assert settings.exchanges[0].venue == "bybit-spot"

    def test_virtuoso_data_is_the_data_root(self, project):
        assert load(project, "data: {root: elsewhere}", {"VIRTUOSO_DATA": "/lake"}).data.root == Path("/lake")

    def test_a_tilde_is_the_home_directory(self, project, monkeypatch):
        monkeypatch.setenv("HOME", "/home/trader")
        assert load(project, "signals: {reports: ~/r}", {"VIRTUOSO_DATA": "~/lake"}).data.root == Path(
            "/home/trader/lake"
        )

    def test_two_names_for_the_data_root_must_agree(self, project):
        env = {"VIRTUOSO_DATA": "/a", "VIRTUOSO_DATA__ROOT": "/a"}
        assert load(project, env=env).data.root == Path("/a")
        with pytest.raises(ConfigError, match=r"VIRTUOSO_DATA.*'/a'.*'/b'.*Unset one"):
            load(project, env={**env, "VIRTUOSO_DATA__ROOT": "/b"})

    def test_an_empty_value_is_not_set(self, project):
        assert load(project, env={"VIRTUOSO_DATA": "", "VIRTUOSO_API__PORT": ""}).data.root == Path("data")

    def test_a_misspelt_variable_is_an_error_that_names_it(self, project):
        with pytest.raises(ConfigError, match=r"api\.prt in the environment variable VIRTUOSO_API__PRT.*'port'"):
            load(project, env={"VIRTUOSO_API__PRT": "1"})

    def test_other_variables_are_not_ours(self, project):
        env = {"VIRTUOSO_REAL_DATA": "/pack", "PATH": "/bin"}
        assert load(project, env=env).fingerprint() == Settings().fingerprint()


class TestReferences:
    """`${NAME}` is filled in from the environment, once."""

    def test_takes_the_type_of_its_key(self, project):
        assert load(project, "api: {port: '${PORT}', host: 'a-${WHO}.b'}", {"PORT": "81", "WHO": "x"}).api == (
            Settings().api.model_copy(update={"port": 81, "host": "a-x.b"})
        )

    def test_a_value_is_not_filled_in_again(self, project):
        assert load(project, "data: {root: '${A}'}", {"A": "${B}", "B": "no"}).data.root == Path("${B}")

    def test_in_a_key_that_is_overridden_it_does_not_matter(self, project):
        (project / "configs/base.yaml").write_text("data: {root: '${NOT_SET}'}")
        assert load(project, "data: {root: here}").data.root == Path("here")


class TestDotenv:
    """`.env` is read, the environment wins, and its text is never repeated."""

    def test_gives_secrets_references_and_settings(self, project):
        text = f"# keys\nexport BINANCE_API_KEY='{CANARY}'\nBINANCE_API_SECRET={CANARY} # mine\nVIRTUOSO_API__PORT=81\n"
        write_dotenv(project, text)
        settings = load(project, BINANCE)
        assert settings.secret("binance").api_key.get_secret_value() == CANARY
        assert settings.secret("binance").api_secret.get_secret_value() == CANARY
        assert settings.api.port == 81
        assert show(settings)["origins"]["api.port"] == "VIRTUOSO_API__PORT in .env"

    def test_loses_against_the_environment(self, project):
        write_dotenv(project, "BINANCE_API_KEY=old\nBINANCE_API_SECRET=s\n")
        settings = load(project, BINANCE, {"BINANCE_API_KEY": "new"})
        assert settings.secret("binance").api_key.get_secret_value() == "new"

    def test_an_empty_line_counts_as_not_set(self, project):
        write_dotenv(project, "BINANCE_API_KEY=\nBINANCE_API_SECRET=s\n")
        with pytest.raises(SecretError, match="BINANCE_API_KEY"):
            load(project, BINANCE).secret("binance")

    @pytest.mark.skipif(os.name != "posix", reason="files have no modes here")
    @pytest.mark.parametrize("mode", [0o640, 0o660, 0o604, 0o644, 0o666, 0o650], ids="{:o}".format)
    def test_that_others_may_read_is_refused(self, project, mode):
        """The group as well as everybody, and without a word of what it holds."""
        write_dotenv(project, f"BINANCE_API_KEY={CANARY}\n", mode)
        with pytest.raises(SecretError, match=rf"others may read it \(mode {mode:o}\).*chmod 600") as refused:
            load(project)
        assert CANARY not in str(refused.value)

    @pytest.mark.skipif(os.name != "posix", reason="files have no modes here")
    @pytest.mark.parametrize("mode", [0o400, 0o600, 0o700], ids="{:o}".format)
    def test_that_its_owner_alone_may_read_is_taken(self, project, mode):
        write_dotenv(project, f"BINANCE_API_KEY={CANARY}\nBINANCE_API_SECRET=s\n", mode)
        assert load(project, BINANCE).secret("binance").api_key.get_secret_value() == CANARY

    def test_a_broken_line_is_named_by_its_number_alone(self, project):
        write_dotenv(project, f"A=1\n{CANARY} is the key\n")
        with pytest.raises(ConfigError, match=r"\.env, line 2") as refused:
            load(project)
        assert CANARY not in str(refused.value)

    def test_the_example_holds_names_only_and_may_be_copied_as_it_is(self, project):
        text = (REPOSITORY / "configs" / ".env.example").read_text()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert {"BINANCE_API_KEY=", "BINANCE_API_SECRET=", "BYBIT_API_KEY=", "BYBIT_API_SECRET="} <= set(lines)
        assert all(line.endswith("=") for line in lines)
        write_dotenv(project, text, mode=0o644)
        assert load(project).fingerprint() == Settings().fingerprint()


class TestWeights:
    """Weights come from a file, files lie over the shipped one, settings lie over files."""

    def test_sum_to_one_in_the_shipped_file(self):
        weights = shipped_weights()
        groups = [weights["timeframes"], {name: face["weight"] for name, face in weights["faces"].items()}]
        groups += [face["components"] for face in weights["faces"].values()]
        assert [round(sum(group.values()), 12) for group in groups] == [1.0] * 8

    def test_a_file_lies_over_the_shipped_one_and_under_the_settings(self, project):
        (project / "configs/weights/tuned.yaml").write_text(
            "faces: {technical: {weight: 8/41, components: {rsi: 0.25, ao: 1/12}}, volume: {weight: 5/41}}"
        )
        text = "prism: {weights: weights/tuned.yaml, faces: {technical: {components: {ao: 1/24, macd: 5/24}}}}"
        technical = load(project, text).prism.faces.technical
        assert technical.weight == 8 / 41
        assert dict(technical.components) == {
            "rsi": 0.25,
            "ao": 1 / 24,
            "macd": 5 / 24,
            "williams_r": 1 / 6,
            "cci": 1 / 6,
            "atr": 1 / 6,
        }

    def test_a_file_is_looked_for_beside_the_one_that_names_it(self, project):
        elsewhere = project / "study" / "best.yaml"
        elsewhere.parent.mkdir()
        elsewhere.write_text("prism: {weights: found.yaml}")
        (elsewhere.parent / "found.yaml").write_text("timeframes: {1h: 1.0}")
        assert dict(Settings.load(elsewhere, root=project, env={}).prism.timeframes) == {"1h": 1.0}

    def test_the_projects_own_default_wins_over_the_shipped_one(self, project):
        (project / "configs/weights/default.yaml").write_text("timeframes: {1h: 1.0}")
        assert dict(load(project).prism.timeframes) == {"1h": 1.0}
        assert load(project).prism.faces == Settings().prism.faces

    def test_a_missing_file_names_the_nearest(self, project):
        with pytest.raises(ConfigError, match=r"mine\.yaml, line 1.*'weights/defalt\.yaml'.*'weights/default\.yaml'"):
            load(project, "prism: {weights: weights/defalt.yaml}")

    def test_a_file_holds_nothing_but_weights(self, project):
        (project / "configs/weights/odd.yaml").write_text("timefames: {1m: 1.0}")
        with pytest.raises(ConfigError, match=r"timefames in configs/weights/odd\.yaml, line 1.*'timeframes'"):
            load(project, "prism: {weights: weights/odd.yaml}")

    def test_a_private_component_gets_a_weight(self, project):
        text = "prism: {components: ['my.ideas:Tilt'], faces: {technical: {components: {cci: 1/12, tilt: 1/12}}}}"
        prism = load(project, text).prism
        assert prism.components == ("my.ideas:Tilt",)
        assert prism.faces.technical.components["tilt"] == 1 / 12

    def test_the_default_of_the_room_is_the_shipped_file(self, project):
        assert PrismSettings() == load(project).prism


class TestSettingsAreValues:
    """A tree of frozen values: nothing changes them, they can be hashed, copied and sent elsewhere."""

    def test_cannot_be_changed_at_any_depth(self):
        settings = Settings()
        with pytest.raises(ValidationError, match="frozen"):
            settings.api.port = 1
        with pytest.raises(TypeError):
            settings.prism.timeframes["1m"] = 1.0
        with pytest.raises(TypeError):
            settings.prism.faces.technical.components["rsi"] = 1.0

    def test_survive_a_journey_to_another_process_without_their_secrets(self, project):
        settings = load(project, BINANCE, KEYS)
        arrived = pickle.loads(pickle.dumps(settings))
        assert arrived.fingerprint() == settings.fingerprint()
        assert CANARY.encode() not in pickle.dumps(settings)
        with pytest.raises(SecretError):
            arrived.secret("binance")

    def test_are_hashable(self):
        assert hash(Settings()) == hash(Settings())

    def test_saved_masked_they_load_as_they_were(self, project):
        settings = load(project, BINANCE + "signals: {max_age: 1d}\n", KEYS)
        again = load(project, yaml.safe_dump(settings.masked()), KEYS)
        assert again.fingerprint() == settings.fingerprint()
        assert again.secret("binance") == settings.secret("binance")


class TestFingerprint:
    """Provenance records what was in force, not where it came from nor which keys signed it."""

    def test_knows_values_not_their_origin(self, project):
        text = "prism: {faces: {technical: {components: {rsi: 1/4, ao: 1/12}}}}"
        (project / "configs/weights/same.yaml").write_text(yaml.safe_dump(yaml.safe_load(text)["prism"]))
        assert load(project, text).fingerprint() == load(project, "prism: {weights: weights/same.yaml}").fingerprint()

    def test_does_not_know_secrets(self, project):
        assert load(project, BINANCE, KEYS).fingerprint() == load(project, BINANCE).fingerprint()

    def test_changes_with_any_value(self, project):
        changed = load(project, "signals: {bull_enter: 68.5}")
        assert re.fullmatch("[0-9a-f]{64}", changed.fingerprint())
        assert changed.fingerprint() != Settings().fingerprint()

    def test_can_leave_out_what_scores_do_not_depend_on(self, project):
        moved = load(project, "data: {root: /elsewhere}")
        assert moved.fingerprint() != Settings().fingerprint()
        assert moved.fingerprint("prism", "signals") == Settings().fingerprint("prism", "signals")
        with pytest.raises(ConfigError, match="'prism'"):
            moved.fingerprint("prsm")

    def test_is_the_same_in_another_process(self):
        code = "from virtuoso.config import Settings; print(Settings().fingerprint())"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
        assert told.stdout.strip() == Settings().fingerprint()


class TestExchanges:
    """A market is found by its venue or by its exchange, if that is one market."""

    @pytest.mark.parametrize(
        ("name", "type_", "venue"),
        [
            ("binance", "spot", "binance-spot"),
            ("binance", "futures", "binance-usdm"),
            ("bybit", "futures", "bybit-linear"),
            ("bitfinex", "spot", "bitfinex-spot"),
        ],
    )
    def test_names_the_venue_of_its_instruments(self, project, name, type_, venue):
        assert load(project, f"exchanges: [{{name: {name}, type: {type_}}}]").exchange(venue).name == name

    def test_two_markets_of_one_exchange_must_be_named(self, project):
        settings = load(project, "exchanges: [{name: binance, type: spot}, {name: binance, type: futures}]")
        assert settings.exchange("binance-spot").type == "spot"
        with pytest.raises(ConfigError, match="binance-spot, binance-usdm"):
            settings.exchange("binance")

    def test_the_same_market_twice_is_refused(self, project):
        with pytest.raises(ConfigError, match=r"exchanges in mine\.yaml.*binance-spot twice"):
            load(project, "exchanges: [{name: binance, type: spot}, {name: binance, type: spot}]")

    def test_an_unknown_one_names_the_nearest(self, project):
        with pytest.raises(ConfigError, match=r"'binanse'.*Did you mean 'binance'"):
            load(project, BINANCE).exchange("binanse")


class TestSecretsStayInside:
    """A canary in the environment never sings: not in text, JSON, logs, schema nor tracebacks."""

    TEXT = BINANCE + "tracking: {uri: 'postgresql://me:${DB_PASSWORD}@db/mlflow'}\n"

    def test_nothing_that_is_printed_shows_them(self, project, caplog):
        settings = load(project, self.TEXT, {**KEYS, "DB_PASSWORD": CANARY})
        with caplog.at_level(logging.DEBUG):
            logging.getLogger("test").debug("%s %r", settings, settings.secret("binance"))
        shown = [
            repr(settings),
            str(settings),
            settings.model_dump_json(),
            repr(settings.model_dump()),
            json.dumps(settings.masked()),
            json.dumps(show(settings)),
            json.dumps(Settings.json_schema()),
            repr(settings.secret("binance")),
            repr(settings.exchanges[0].api_key),
            caplog.text,
        ]
        assert [text for text in shown if CANARY in text] == []
        assert "${BINANCE_API_KEY}" in shown[0]

    def test_they_are_given_to_who_asks(self, project):
        settings = load(project, self.TEXT, {**KEYS, "DB_PASSWORD": CANARY})
        assert settings.secret("binance-usdm").api_secret.get_secret_value() == KEYS["BINANCE_API_SECRET"]
        assert settings.tracking.uri.reveal("tracking.uri").get_secret_value() == f"postgresql://me:{CANARY}@db/mlflow"

    def test_two_texts_are_equal_if_they_name_the_same_variables(self):
        assert SecretText("${A}", {"A": "1"}) == SecretText("${A}")
        assert SecretText("${A}") != SecretText("${B}")


class TestShow:
    """`virtuoso config show` says what is in force and who set it."""

    def test_names_the_origin_of_what_differs_from_the_default(self, project):
        text = "# mine\nsignals:\n  bull_enter: 70\n  bull_leave: 55\n"
        shown = show(
            load(project, text, {"VIRTUOSO_API__PORT": "81"}, profile="paper", overrides={"data.root": "/lake"})
        )
        assert {key: where for key, where in shown["origins"].items() if key != "system.environment"} == {
            "signals.bull_enter": "mine.yaml, line 3",
            "api.port": "the environment variable VIRTUOSO_API__PORT",
            "data.root": "overrides",
        }
        assert re.search(r"profiles/paper\.yaml, line \d+$", shown["origins"]["system.environment"])
        assert shown["settings"]["signals"]["bull_enter"] == 70

    def test_says_which_secrets_are_set(self, project):
        shown = show(load(project, BINANCE, {"BINANCE_API_KEY": CANARY}))
        assert shown["secrets"] == {"BINANCE_API_KEY": "set", "BINANCE_API_SECRET": "not set"}


class TestTheGuide:
    """The page that lists every key cannot lie."""

    def test_its_table_is_the_code(self):
        table = "\n".join(line for line in GUIDE.read_text().splitlines() if line.startswith("|"))
        assert table == reference(), (
            "write it anew: python -c 'from virtuoso.config import reference; print(reference())'"
        )

    def test_its_examples_load(self, project):
        examples = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
        assert len(examples) == 5
        for example in examples:
            load(project, example)

    def test_every_key_says_what_it_means(self):
        assert [key.name for key in keys() if not key.meaning.endswith(".")] == []

    def test_the_secret_keys_are_known(self):
        secrets = [key.name for key in keys() if key.is_secret]
        assert secrets == ["exchanges[].api_key", "exchanges[].api_secret", "tracking.uri", "tracking.studies"]


class TestTheSchema:
    """Editors check a file against the schema."""

    def test_describes_every_section_and_closes_it(self):
        schema = Settings.json_schema()
        assert set(schema["properties"]) == set(Settings.model_fields)
        assert all(part["additionalProperties"] is False for part in [schema, *schema["$defs"].values()])
        assert schema["$defs"]["TradingSettings"]["properties"]["max_positions"]["minimum"] == 1

    def test_needs_no_literal_secret(self):
        secret = Settings.json_schema()["$defs"]["ExchangeSettings"]["properties"]["api_key"]["anyOf"][0]
        assert re.fullmatch(secret["pattern"], "${BINANCE_API_KEY}")
        assert not re.fullmatch(secret["pattern"], CANARY)


class TestTheFloors:
    """Settings are read by the commands that need them."""

    def test_loading_pays_for_no_heavy_guest(self):
        code = (
            "import sys, virtuoso.config; "
            "print([m for m in ('pandas','numba','talib','duckdb','pyarrow','vectorbt','mlflow') if m in sys.modules])"
        )
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
        assert told.stdout.strip() == "[]"

    def test_the_rooms_settings_do_not_know_the_config(self):
        for room in ("settings", "account/settings", "prism/settings", "signals/settings"):
            assert "virtuoso.config" not in re.findall(
                r"^(?:from|import) (\S+)", (REPOSITORY / f"virtuoso/{room}.py").read_text(), re.MULTILINE
            )


def test_git_ignores_the_dotenv():
    assert ".env" in (REPOSITORY / ".gitignore").read_text().splitlines()


class TestOnOneScreen:
    """`vt.Settings()` in a cell: grouped, one screen, what differs from its default marked."""

    def test_says_all_of_it_by_section(self):
        text = repr(Settings())
        assert "all as by default" in text
        assert len(text.splitlines()) <= 40
        assert max(map(len, text.splitlines())) <= 100
        for section in ("system", "data", "exchanges", "prism", "signals", "trading", "risk", "api", "tracking"):
            assert any(line.startswith(section) for line in text.splitlines())
        assert "*" not in text
        assert str(Settings()) == text

    def test_marks_what_differs_with_its_default(self, project):
        given = {"signals.bull_enter": 60, "prism.faces.technical.components": {"rsi": 0.3, "ao": 1 / 3 - 0.3}}
        found = Settings.load(root=project, env={}, overrides=given)
        text, page = repr(found), found._repr_html_()
        assert "3 differ from the default" in text
        assert "*bull_enter 60* (default 68)" in text
        assert "*faces.technical.components.rsi 0.3* (default 0.166667)" in text
        assert page.count("<b>") == 3
        assert "components.macd" not in text

    def test_shows_no_secret_and_escapes(self, project):
        exchange = {"name": "binance", "type": "futures", "api_key": "${KEY}"}
        given = {"exchanges": [exchange], "signals.reports": "<b>x"}
        found = Settings.load(root=project, env={"KEY": "hush"}, overrides=given)
        assert "hush" not in repr(found) + found._repr_html_()
        assert "binance futures ${KEY}" in repr(found)
        assert "<b>x" not in found._repr_html_()
