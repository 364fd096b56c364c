"""E77 and E78: settings that are wrong, secrets that are missing or exposed."""

import os
import sys
import traceback

import pytest

from virtuoso.config import Settings
from virtuoso.errors import ConfigError, SecretError
from virtuoso.files.plain_yaml import parse_yaml

CANARY = "canary7f3a"


def refused(folder, text="", env=None, error=ConfigError, **given):
    """Load a file that must be refused; give the message."""
    file = folder / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(error) as caught:
        Settings.load(file, root=folder, env=env or {}, **given)
    assert caught.value.exit_code == 2
    assert type(caught.value) is error
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


class TestE77UnknownKeys:
    """An unknown key is an error that names the key, its value, its place and the nearest right one."""

    @pytest.mark.parametrize(
        ("text", "key", "meant"),
        [
            ("signls: {}", "signls", "signals"),
            ("system: {enviroment: paper}", "system.enviroment", "environment"),
            ("data: {rot: x}", "data.rot", "root"),
            ("exchanges: [{name: a, type: spot, tesnet: true}]", "exchanges[0].tesnet", "testnet"),
            ("exchanges: [{name: a, type: spot, apikey: x}]", "exchanges[0].apikey", "api_key"),
            ("prism: {timeframe: {1m: 1}}", "prism.timeframe", "timeframes"),
            ("prism: {faces: {technicals: {weight: 0}}}", "prism.faces.technicals", "technical"),
            ("prism: {faces: {volume: {wight: 0.1}}}", "prism.faces.volume.wight", "weight"),
            ("prism: {faces: {volume: {components: {obw: 0.1}}}}", "prism.faces.volume.components.obw", "obv"),
            ("prism: {faces: {volume: {parameters: {obw: {n: 1}}}}}", "prism.faces.volume.parameters.obw", "obv"),
            ("signals: {levels: {memry: 70}}", "signals.levels.memry", "memory"),
            ("signals: {bull_entre: 70}", "signals.bull_entre", "bull_enter"),
            ("trading: {max_position: 5}", "trading.max_position", "max_positions"),
            ("risk: {max_drawdawn: 0.1}", "risk.max_drawdawn", "max_drawdown"),
            ("api: {prot: 80}", "api.prot", "port"),
            ("tracking: {url: x}", "tracking.url", "uri"),
            ("max_positions: 5", "max_positions", "trading.max_positions"),
        ],
    )
    def test_E77_names_the_key_the_line_and_the_nearest(self, tmp_path, text, key, meant):
        message = refused(tmp_path, "# a comment\n" + text)
        assert message.startswith(f"{key} in bad.yaml, line 2: not a ")
        assert f"Did you mean {meant!r}?" in message

    def test_E77_a_room_that_is_not_built_has_no_keys(self, tmp_path):
        assert "alerts.channels in bad.yaml" in refused(tmp_path, "alerts: {channels: []}")

    def test_E77_shows_the_value_of_an_unknown_key(self, tmp_path):
        assert "was 5." in refused(tmp_path, "trading: {max_position: 5}")

    def test_E77_says_everything_that_is_wrong_at_once(self, tmp_path):
        message = refused(tmp_path, "api: {prot: 80}\ntrading: {max_positions: 0}\n")
        assert "api.prot" in message
        assert "trading.max_positions" in message


class TestE77ImpossibleValues:
    """A value of the wrong type or beyond its bounds is an error that names the key, the value and the remedy."""

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("system.environment", "live"),
            ("system.log_level", "LOUD"),
            ("system.debug_mode", "maybe"),
            ("data.root", "7"),
            ("prism.weights", "[a]"),
            ("prism.components", "my.ideas"),
            ("prism.components", "[my.ideas]"),
            ("prism.components", "['a:B', 'a:B']"),
            ("signals.min_coverage", "1.5"),
            ("signals.min_coverage", "-0.1"),
            ("signals.max_age", "4 hours"),
            ("signals.max_age", "4"),
            ("trading.max_positions", "ten"),
            ("trading.max_positions", "0"),
            ("trading.max_positions", "10.5"),
            ("trading.max_positions", "yes"),
            ("trading.max_positions", "null"),
            ("trading.base_position_size", "-0.01"),
            ("trading.base_position_size", "0"),
            ("trading.base_position_size", ".nan"),
            ("trading.base_position_size", "0.9"),  # more than the heat of all positions
            ("trading.max_leverage", "0.5"),
            ("trading.max_leverage", ".inf"),
            ("trading.max_leverage", "true"),
            ("risk.max_drawdown", "1"),
            ("risk.max_drawdown", "15"),
            ("risk.position_heat", "-1"),
            ("risk.correlation_limit", "7"),
            ("api.host", "''"),
            ("api.port", "65536"),
            ("api.port", "{}"),
        ],
    )
    def test_E77_names_the_key_and_the_place(self, tmp_path, key, value):
        section, name = key.split(".")
        message = refused(tmp_path, f"{section}:\n  {name}: {value}\n")
        where = "bad.yaml, line 2"
        assert f"{where}: " in message
        assert message.startswith(f"{key} in ") or message.startswith(f"{key}[0] in ")

    def test_E77_shows_the_value_and_the_default(self, tmp_path):
        message = refused(tmp_path, "trading: {max_positions: ten}")
        assert "must be a whole number, was 'ten'." in message
        assert "The default is 10." in message

    @pytest.mark.parametrize(
        "thresholds",
        [
            "{bull_enter: 55}",
            "{bull_enter: 100.5}",
            "{bull_leave: 49.9}",
            "{bear_leave: 50.1}",
            "{bear_enter: 45}",
            "{bear_enter: -1}",
            "{bull_enter: 32, bear_enter: 68}",
        ],
    )
    def test_E77_thresholds_do_not_cross(self, tmp_path, thresholds):
        message = refused(tmp_path, f"signals: {thresholds}")
        assert message.startswith("signals in bad.yaml, line 1: needs 0 <= bear_enter < bear_leave <= 50")

    @pytest.mark.parametrize(
        ("text", "key", "total"),
        [
            ("faces: {technical: {weight: 0.18}}", "prism.faces", "1.03366"),
            ("faces: {technical: {components: {rsi: 0.21}}}", "prism.faces.technical.components", "1.04333"),
            ("timeframes: {1m: 0.5, 5m: 0.4}", "prism.timeframes", "0.9"),
        ],
    )
    def test_E77_weights_sum_to_one(self, tmp_path, text, key, total):
        message = refused(tmp_path, f"prism: {{{text}}}")
        assert message.startswith(f"{key} in bad.yaml, line 1: ")
        assert message.endswith(f"must sum to 1, sum to {total}.")

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("timeframes: {}", "sum to 0"),
            ("timeframes: {7m: 1.0}", "'7m'"),
            ("timeframes: {fast: 1.0}", "'fast'"),
            ("timeframes: {2m: 0.5, 3m: 0.5}", "not a whole number of 2m bars"),
            ("timeframes: {1m: 1.5, 5m: -0.5}", "prism.timeframes.5m"),
            ("timeframes: {1m: true}", "prism.timeframes.1m"),
            ("timeframes: {1m: 0.5, 4h: 'half'}", "prism.timeframes.4h"),
            ("faces: {technical: {weight: yes}}", "prism.faces.technical.weight"),
            ("faces: {technical: {components: {rsi: .nan}}}", "prism.faces.technical.components.rsi"),
            ("faces: {technical: {parameters: {rsi: {period: .inf}}}}", "prism.faces.technical.parameters.rsi.period"),
            ("faces: {technical: {parameters: {rsi: {period: [1]}}}}", "prism.faces.technical.parameters.rsi.period"),
            ("faces: {technical: 0.17}", "prism.faces.technical"),
        ],
    )
    def test_E77_prism_values_are_possible(self, tmp_path, text, what):
        assert what in refused(tmp_path, f"prism: {{{text}}}")

    def test_E77_a_truth_is_not_a_number_in_a_list_either(self, tmp_path):
        message = refused(tmp_path, "signals: {levels: {target_r: [true, 2.5, 4.0]}}")
        assert message.startswith("signals.levels.target_r in bad.yaml, line 1: must be a number")

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("exchanges: {binance: {type: spot}}", "exchanges in bad.yaml, line 1: must be a list"),
            ("exchanges: [binance]", "exchanges[0] in bad.yaml, line 1"),
            ("exchanges: [{type: spot}]", "exchanges[0].name in bad.yaml, line 1: required"),
            ("exchanges: [{name: binance, type: sport}]", "Did you mean 'spot'?"),
            ("exchanges: [{name: Binance!, type: spot}]", "was 'Binance!'"),
        ],
    )
    def test_E77_an_exchange_is_complete(self, tmp_path, text, what):
        assert what in refused(tmp_path, text)


class TestE77References:
    """A reference that cannot be filled in names the key, the file and the variable."""

    def test_E77_a_variable_that_is_not_set(self, tmp_path):
        message = refused(tmp_path, "data:\n  root: ${LAKE}/x\n")
        assert message.startswith("data.root in bad.yaml, line 2 names ${LAKE}, which is set neither")

    @pytest.mark.parametrize("text", ["${LAKE", "${}", "${1A}", "${A-B}", "${ A }", "x${A:-y}"])
    def test_E77_a_reference_that_is_none(self, tmp_path, text):
        message = refused(tmp_path, f"data: {{root: '{text}'}}", env={"A": "a"})
        assert message.startswith("data.root in bad.yaml, line 1 holds a broken reference")

    def test_E77_a_value_of_the_wrong_type_is_shown_as_the_reference(self, tmp_path):
        assert "was '${PORT}'" in refused(tmp_path, "api: {port: '${PORT}'}", env={"PORT": CANARY})


class TestE77Files:
    """A file that is not plain YAML is refused before anything in it counts."""

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("api: {port: 1}\nrisk: {}\napi: {port: 2}\n", "api stands twice in bad.yaml, lines 1 and 3"),
            ("api:\n  port: 1\n  port: 1\n", "api.port stands twice in bad.yaml, lines 2 and 3"),
            ("exchanges: [{name: a, name: b}]", "exchanges[0].name stands twice"),
            ("a: !!python/object/apply:os.system ['true']", "bad.yaml, line 1: tags"),
            ("a: !!int '3'", "bad.yaml, line 1: tags"),
            ("a: &x {}\nb: *x\n", "bad.yaml, line 1: tags (!), anchors"),
            ("<<: {api: {}}", "line 1: a key must be text"),
            ("api: {1: 2}", "line 1: a key must be text"),
            ("? [a]\n: b", "line 1: a key must be text"),
            ("- api\n", "must hold settings"),
            ("api", "must hold settings"),
            ("a: 1\n---\nb: 2\n", "not valid YAML"),
            ("api: {port: 1", "not valid YAML"),
            ("api: {host: ${HOST}}", 'write references in quotes: "${NAME}"'),
            ("api:\n\tport: 1\n", "line 2 is not valid YAML"),
            ("a: 2024-99-99", "a in bad.yaml, line 1: some readers of YAML"),
            ("a: \x00", "not valid YAML"),
            ("[" * 500_000, "line 1 is nested more than 20 deep"),
            ("- " * 50 + "1", "line 1 is nested more than 20 deep"),
        ],
    )
    def test_E77_is_refused_by_name_and_line(self, tmp_path, text, what):
        message = refused(tmp_path, text)
        assert what in message
        assert "bad.yaml" in message

    @pytest.mark.parametrize("number", ["1:30", "-1:30:20.5", "010", "0_1", "1_000", "0b11", "2024-01-01", "190:20:30"])
    def test_E77_what_versions_of_yaml_read_differently_is_refused_where_it_is_not_quoted(self, tmp_path, number):
        message = refused(tmp_path, f"api:\n  host: localhost\n  port: {number}\n")
        assert message.startswith("api.port in bad.yaml, line 3: some readers of YAML")
        assert "Quote it if it is text" in message
        assert parse_yaml(f"a: '{number}'", "x")[0] == {"a": number}

    @pytest.mark.parametrize(
        ("text", "number"),
        [("90", 90), ("-3", -3), ("0", 0), ("0x1F", 31), ("0.01", 0.01), (".5", 0.5), ("1.5e+3", 1500.0), ("+7", 7)],
    )
    def test_E77_plain_numbers_are_what_they_are(self, text, number):
        assert parse_yaml(f"a: {text}", "x")[0] == {"a": number}

    @pytest.mark.parametrize("wrong", ["signals: {%s}", "exchanges: [%s]"])
    def test_E77_many_wrong_entries_take_time_in_proportion(self, tmp_path, wrong):
        """60,000 unknown keys took minutes: each was compared with all before it."""
        entry = "k{}: 1" if "signals" in wrong else "{{name: x{}, type: spot}}"

        def counted(n: int) -> int:
            text = wrong % ", ".join(entry.format(i) for i in range(n)) + "\nnothing: 1"
            steps = 0

            def count(frame, event, argument):
                nonlocal steps
                steps += 1

            sys.setprofile(count)
            try:
                refused(tmp_path, text)
            finally:
                sys.setprofile(None)
            return steps

        few, many = counted(250), counted(1_000)
        assert many < 6 * few

    def test_E77_a_file_that_is_too_large(self, tmp_path):
        assert "larger than 1,000,000 bytes" in refused(tmp_path, "#" * 1_000_001)

    def test_E77_a_file_that_is_not_text(self, tmp_path):
        file = tmp_path / "binary.yaml"
        file.write_bytes(b"api: \xff\xfe")
        with pytest.raises(ConfigError, match=r"binary\.yaml is not UTF-8 text"):
            Settings.load(file, root=tmp_path, env={})

    def test_E77_a_folder_is_not_a_file(self, tmp_path):
        with pytest.raises(ConfigError, match="no configuration file"):
            Settings.load(tmp_path, root=tmp_path, env={})

    def test_E77_the_line_that_is_no_yaml_is_not_repeated(self, tmp_path):
        refused(tmp_path, f"exchanges:\n  - api_key: {CANARY}: '")


class TestE78SecretsInFiles:
    """A secret in a file of settings is refused, and never repeated."""

    @pytest.mark.parametrize("name", ["api_key", "api_secret"])
    @pytest.mark.parametrize("text", [CANARY, "x${A}", "$A", "''", "12345", "true"])
    def test_E78_a_literal_is_refused_by_its_key_and_line(self, tmp_path, name, text):
        message = refused(
            tmp_path,
            f"exchanges:\n  - name: binance\n    type: spot\n    {name}: {text}\n",
            env={"A": CANARY},
            error=SecretError,
        )
        assert message.startswith(f"exchanges[0].{name} in bad.yaml, line 4: holds a literal secret (not shown)")

    def test_E78_also_where_a_later_file_covers_it(self, tmp_path):
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs/base.yaml").write_text(f"exchanges: [{{name: a, type: spot, api_key: {CANARY}}}]")
        assert "configs/base.yaml" in refused(tmp_path, "exchanges: []", error=SecretError)

    def test_E78_also_under_a_wrong_key(self, tmp_path):
        refused(tmp_path, f"binance: {{api_key: {CANARY}}}", error=SecretError)

    @pytest.mark.parametrize("name", ["apikey", "password", "passphrase", "token", "key", "secrt"])
    def test_E78_the_value_of_a_misspelt_secret_is_not_shown(self, tmp_path, name):
        refused(tmp_path, f"exchanges: [{{name: a, type: spot, {name}: {CANARY}}}]")

    def test_E78_a_long_text_on_a_wrong_key_is_not_shown(self, tmp_path):
        refused(tmp_path, f"api: {{port: {CANARY * 3}}}\nexchanges: {CANARY * 3}\nnote: {CANARY * 3}\n")

    def test_E78_a_password_in_a_url(self, tmp_path):
        message = refused(tmp_path, f"tracking: {{uri: 'postgresql://me:{CANARY}@db/x'}}", error=SecretError)
        assert message.startswith("tracking.uri in bad.yaml, line 1: holds a literal password")


class TestE78MissingSecrets:
    """A missing secret matters where a private call needs it, and only there."""

    EXCHANGE = "exchanges:\n  - {name: binance, type: futures, api_key: '${KEY_A}', api_secret: '${KEY_B}'}\n"

    def load(self, tmp_path, text, env):
        (tmp_path / "good.yaml").write_text(text)
        return Settings.load(tmp_path / "good.yaml", root=tmp_path, env=env)

    @pytest.mark.parametrize(
        ("env", "missing"),
        [({}, "KEY_A"), ({"KEY_A": CANARY}, "KEY_B"), ({"KEY_A": CANARY, "KEY_B": ""}, "KEY_B")],
    )
    def test_E78_loads_and_refuses_the_private_call_by_the_variables_name(self, tmp_path, env, missing):
        settings = self.load(tmp_path, self.EXCHANGE, env)
        with pytest.raises(SecretError, match=rf"binance-usdm names \$\{{{missing}\}}, which is not set") as caught:
            settings.secret("binance")
        assert caught.value.exit_code == 2
        assert CANARY not in str(caught.value)

    def test_E78_a_key_that_is_not_configured_says_what_to_write(self, tmp_path):
        settings = self.load(tmp_path, "exchanges: [{name: bybit, type: spot}]", {})
        with pytest.raises(SecretError, match=r"bybit-spot has no api_key.*api_key: \$\{BYBIT_API_KEY\}"):
            settings.secret("bybit")


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX")
class TestE78ExposedDotenv:
    """A `.env` that others may read is refused with the command that mends it."""

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
    def test_E78_is_refused(self, tmp_path, mode):
        file = tmp_path / ".env"
        file.write_text(f"KEY={CANARY}\n")
        file.chmod(mode)
        message = refused(tmp_path, error=SecretError)
        assert f"chmod 600 {file}" in message
        assert f"mode {mode:o}" in message

    @pytest.mark.parametrize("mode", [0o600, 0o400])
    def test_E78_is_read_when_it_is_private(self, tmp_path, mode):
        file = tmp_path / ".env"
        file.write_text("VIRTUOSO_API__PORT=81\n")
        file.chmod(mode)
        assert Settings.load(root=tmp_path, env={}).api.port == 81


class TestE78TestnetKeysOnLive:
    """Production and a test network do not mix."""

    LIVE = "system: {environment: production}\nexchanges:\n  - {name: bybit, type: futures, "

    def test_E78_testnet_on_production_is_refused(self, tmp_path):
        message = refused(tmp_path, self.LIVE + "testnet: true}", error=SecretError)
        assert message.startswith("exchanges[0] in bad.yaml, line 3: uses a test network")
        assert "system.environment is production" in message

    @pytest.mark.parametrize("name", ["BYBIT_TESTNET_API_KEY", "bybit_sandbox_key"])
    def test_E78_keys_that_are_called_testnet_are_refused(self, tmp_path, name):
        message = refused(tmp_path, self.LIVE + f"api_key: '${{{name}}}'}}", env={name: CANARY}, error=SecretError)
        assert f"${{{name}}}" in message

    def test_E78_one_of_several_is_enough(self, tmp_path):
        text = "exchanges: [{name: a, type: spot}, {name: b, type: spot, testnet: true}]"
        assert "exchanges[1]" in refused(tmp_path, text, profile="live", error=SecretError)

    def test_E78_paper_may_use_a_test_network(self, tmp_path):
        (tmp_path / "good.yaml").write_text("exchanges: [{name: b, type: spot, testnet: true}]")
        settings = Settings.load(tmp_path / "good.yaml", root=tmp_path, env={}, profile="paper")
        assert settings.exchanges[0].testnet
