"""No day of a test window is tuned on in its round, whatever the study asks for (E55)."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from virtuoso.errors import ConfigError
from virtuoso.research.tuning.rounds import FINAL, rounds_of
from virtuoso.research.tuning.study import Study


def study_of(**walk) -> Study:
    return Study.of({"name": "s", "market": {"symbols": "X"}, "search": {"weights": True}, "walk_forward": walk})


spans = st.one_of(st.none(), st.integers(1, 20).map(lambda days: f"{days}d"), st.just("36h"))


@given(
    days=st.integers(40, 2_000), splits=st.integers(0, 12), purge=spans, embargo=spans,
    scheme=st.sampled_from(["expanding", "rolling"]), least=st.integers(1, 60), test=st.one_of(st.none(), spans),
)  # fmt: skip
@settings(max_examples=150)
def test_no_day_of_a_test_window_is_tuned_on_in_its_round(days, splits, purge, embargo, scheme, least, test):
    study = study_of(splits=splits, purge=purge, embargo=embargo, scheme=scheme, least=f"{least}d", least_test="1d",
                     test=test)  # fmt: skip
    try:
        rounds = rounds_of(study, {"all": days})
    except ConfigError:
        assume(False)
    gap = sum(-(-span.ms // 86_400_000) for span in (study.walk_forward.purge, study.walk_forward.embargo) if span)
    assert [one.number for one in rounds] == list(range(splits + 1))
    assert rounds[-1].name == FINAL
    assert rounds[-1].windows["all"] == (0, days, days, days)
    tested = []
    for one in rounds[:-1]:
        window = one.windows["all"]
        train = set(range(window.train_first, window.train_stop))
        test_days = set(range(window.test_first, window.test_stop))
        assert not train & test_days
        assert max(train) + gap < min(test_days)
        assert min(train) >= 0
        assert len(train) >= least
        assert len(test_days) >= 1
        tested += sorted(test_days)
    assert tested == sorted(set(tested))  # in order, none twice
    assert not tested or tested[-1] == days - 1
    if scheme == "rolling":
        lengths = {one.windows["all"].train_stop - one.windows["all"].train_first for one in rounds[:-1]}
        assert len(lengths) <= 1


def test_scenarios_have_windows_of_their_own():
    rounds = rounds_of(study_of(splits=2), {"long": 300, "short": 120})
    assert rounds[0].windows["long"].test_stop - rounds[0].windows["long"].test_first == 100
    assert rounds[0].windows["short"].test_stop - rounds[0].windows["short"].test_first == 40


@pytest.mark.parametrize("days", [31, 45, 60, 100, 185])
@pytest.mark.parametrize("walk", [{}, {"splits": 3, "least": "20d"}, {"test": "30d"}, {"purge": "5d", "embargo": "5d"}])
def test_too_short_a_history_is_refused_with_what_would_fit(days, walk):
    study = study_of(**walk)
    try:
        rounds_of(study, {"all": days})
    except ConfigError as refused:
        said = str(refused)
        assert f"{days} whole days" in said
        assert "walk_forward in the study" in said
        if "fits" in said:
            changed = dict(walk)
            for key in ("splits", "test"):
                if f"walk_forward.{key}: " in said:
                    changed[key] = said.split(f"walk_forward.{key}: ")[1].split()[0]
            changed["splits"] = int(changed.get("splits", 5))
            rounds_of(study_of(**changed), {"all": days})


def test_a_study_without_test_windows_tunes_on_everything():
    (only,) = rounds_of(study_of(splits=0), {"all": 90})
    assert only.is_final
    assert only.windows["all"].stop == 90
