"""Splits: nothing that is trained on knows of what is tested on."""

import numpy as np
import pytest

from virtuoso.errors import ConfigError
from virtuoso.research.validation.splits import CombinatorialPurged, LabelSpans, PurgedKFold, WalkForward


def rows(n):
    return np.zeros((n, 2))


class TestPurging:
    """E55: a training label that overlaps the test fold is dropped."""

    def test_E55_labels_that_reach_into_the_test_fold_are_not_trained_on(self):
        labels = LabelSpans.of(30, length=4)
        for train, test in PurgedKFold(3, labels).split(rows(30)):
            spans = [set(range(labels.begins[i], labels.ends[i] + 1)) for i in test]
            tested = set().union(*spans)
            for i in train:
                assert not tested & set(range(labels.begins[i], labels.ends[i] + 1))

    def test_rows_before_and_after_the_fold_are_told_by_their_labels(self):
        (train, test), *_ = list(PurgedKFold(3, LabelSpans.of(12, length=2)).split(rows(12)))
        assert test.tolist() == [0, 1, 2, 3]
        assert train.tolist() == [6, 7, 8, 9, 10, 11]

    def test_embargo_begins_where_the_labels_of_the_fold_end(self):
        (train, _), *_ = list(PurgedKFold(3, LabelSpans.of(12, length=2), embargo=3).split(rows(12)))
        assert train.tolist() == [9, 10, 11]

    def test_labels_of_unequal_length(self):
        begins = np.arange(6)
        labels = LabelSpans(begins, np.array([0, 5, 2, 3, 4, 5]))
        splits = list(PurgedKFold(3, labels).split(rows(6)))
        assert splits[1][0].tolist() == [0, 4, 5]  # row 1 lives until 5, through the fold of rows 2 and 3
        assert splits[0][0].tolist() == []  # the label of row 1 covers everything after it


class TestCombinatorial:
    """Lopez de Prado's combinatorial purged cross-validation."""

    @pytest.mark.parametrize(("folds", "test", "splits", "paths"), [(6, 2, 15, 5), (10, 8, 45, 36)])
    def test_counts_of_the_book(self, folds, test, splits, paths):
        cv = CombinatorialPurged(folds, test)
        assert cv.get_n_splits() == splits == len(list(cv.split(rows(60))))
        assert cv.n_paths == paths == len(cv.paths())

    def test_indices_of_skfolio(self):
        purged = [train.tolist() for train, _ in CombinatorialPurged(3, 2, purge=1).split(rows(12))]
        assert purged == [[9, 10, 11], [5, 6], [0, 1, 2]]
        embargoed = [train.tolist() for train, _ in CombinatorialPurged(3, 2, embargo=1).split(rows(12))]
        assert embargoed == [[9, 10, 11], [5, 6, 7], [0, 1, 2, 3]]

    def test_every_path_is_a_whole_history_of_test_folds(self):
        cv = CombinatorialPurged(5, 2)
        tests = [set(test.tolist()) for _, test in cv.split(rows(50))]
        for path in cv.paths():
            for fold, split in enumerate(path):
                assert set(range(fold * 10, fold * 10 + 10)) <= tests[split]


class TestWalkForward:
    """Training lies before testing, always."""

    def test_trains_on_the_past_alone(self):
        for train, test in WalkForward(4, purge=2).split(rows(50)):
            assert train.max() < test.min() - 2
        assert np.concatenate([test for _, test in WalkForward(4).split(rows(50))]).tolist() == list(range(10, 50))

    def test_a_rolling_window_forgets(self):
        for train, _ in WalkForward(4, train=7).split(rows(50)):
            assert len(train) == 7

    def test_purges_labels_that_end_in_the_test_stretch(self):
        train, test = next(WalkForward(2, labels=LabelSpans.of(30, length=5)).split(rows(30)))
        assert test[0] == 10
        assert train.tolist() == [0, 1, 2, 3, 4]


class TestAsScikitLearnDoes:
    """They are cross-validators."""

    @pytest.mark.parametrize("cv", [PurgedKFold(3), CombinatorialPurged(4, 2), WalkForward(3)], ids=repr)
    def test_cross_val_score_takes_them(self, cv):
        sklearn = pytest.importorskip("sklearn.model_selection")
        from sklearn.dummy import DummyRegressor

        found = sklearn.cross_val_score(DummyRegressor(), np.arange(40.0).reshape(-1, 1), np.arange(40.0), cv=cv)
        assert len(found) == cv.get_n_splits()


class TestRefusals:
    """What cannot be split is an error."""

    def test_names_what_is_wrong(self):
        with pytest.raises(ConfigError, match="cannot be cut into 5"):
            list(PurgedKFold(5).split(rows(3)))
        with pytest.raises(ConfigError, match="more folds than it tests"):
            CombinatorialPurged(3, 3)
        with pytest.raises(ConfigError, match="one begin and one end"):
            list(PurgedKFold(2, LabelSpans.of(9)).split(rows(10)))
        with pytest.raises(ConfigError, match="begin in order"):
            LabelSpans(np.array([0, 1]), np.array([0, 0]))
