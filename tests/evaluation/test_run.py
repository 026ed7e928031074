"""An evaluation from Python, and that its sections are given the comparison they are about."""

from pathlib import Path
from typing import Any

import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation import Judging, Reference, evaluate, run
from chronosim.evaluation.comparison import Comparison
from chronosim.evaluation.ranking import Contestant, Ranking
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.run import make_section
from chronosim.evaluation.sources import Simulated
from chronosim.world import World


@pytest.fixture
def comparison(slider: Reference, broken: Any, tmp_path: Path) -> Comparison:
    source = Simulated(
        slider, windows=4, rollouts=3, rollout_steps=4, first_seed=1, others=2, apart=10.0
    )
    return Comparison(tmp_path, World(broken(), slider.prompter), source, seed=7)


def test_outcomes_have_their_baseline(comparison: Comparison) -> None:
    section = make_section("outcomes", comparison)
    assert set(section.values["scores"]) == {"model", "copy-last-frame"}
    assert section.values["scores"]["model"]["whole"]["psnr"] is None, "it knows everything"
    assert "4 moments of Slider (seeds from 1 on)" in section.tables[0].caption


def test_the_diagnosis_is_of_the_rollouts(comparison: Comparison) -> None:
    section = make_section("diagnosis", comparison)
    assert "3 episodes of 4 steps" in section.tables[0].caption
    assert section.values["effects"]["swapped actions"]["gain"] < -10


_SETTINGS: dict[str, Any] = {"starts": 2, "horizon": 2, "lead_in": None, "lead_steps": 1}
_SCORER: Any = type("Scorer", (), {"begin": lambda *_: None, "score": lambda *_: (0.0, False)})()


def three(comparison: Comparison) -> list[Contestant]:
    source: Any = comparison.source
    return [Contestant(name, name, source.reference.policy) for name in "abc"]


def test_the_ranking_is_looked_into_where_there_is_one(comparison: Comparison) -> None:
    judging = Judging(ranking=Ranking(three(comparison), _SCORER, **_SETTINGS))
    ranked, moved = (make_section(name, comparison, judging) for name in ("ranking", "moved"))
    assert set(ranked.values["policies"]) == {"a", "b", "c"}
    assert "From the first 2 starts alone" in moved.verdict
    assert "3 policies from 2 starts" in moved.tables[0].caption
    assert "noise" in moved.values["ranking"]


def test_other_seeds_are_for_the_probe_and_for_the_ranking(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    held: dict[str, Any] = {}

    def record(*_: Any, **settings: Any) -> Section:
        given.update(settings)
        return Section("following", "following", "")

    def hold(contest: Any, *_: Any, **settings: Any) -> Section:
        held.update(contest=contest, **settings)
        return Section("ranking", "ranking", "")

    monkeypatch.setattr(run, "following", record)
    monkeypatch.setattr(run, "rank", hold)
    source: Any = comparison.source
    ranking = Ranking(three(comparison), _SCORER, **_SETTINGS)
    judging = Judging(source.reference.policy(0), ["way"], ranking=ranking)
    make_section("following", comparison, judging)
    make_section("ranking", comparison, judging)
    contest = held["contest"]
    assert (given["first_seed"], contest.first_seed) == (500_001, 600_001)
    assert given["reference"] is contest.reference is source.reference
    assert given["folder"].parent == contest.folder.parent == comparison.folder
    assert (given["world"], given["seed"]) == (comparison.world, 7)
    assert (given["names"], contest.ranking.lead_steps) == (["way"], 1)


def truth(slider: Reference, **settings: Any) -> Simulated:
    sizes = {"windows": 3, "rollouts": 2, "rollout_steps": 2, "others": 2, "first_seed": 1}
    return Simulated(slider, **sizes | settings)


def test_an_evaluation_is_one_call_and_goes_on_by_the_same(
    slider: Reference, broken: Any, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    first = evaluate(
        broken(),
        truth(slider),
        tmp_path,
        sections="outcomes",
        progress=lambda *how_far: told.append(how_far),
    )
    assert [section.name for section in first.sections] == ["outcomes"]
    assert told[:4] == [("moments of the truth", done, 3) for done in range(4)]
    assert told[4:] == [("predicting", done, 3) for done in range(4)]
    model = broken()
    again = evaluate(model, truth(slider), tmp_path, sections=["defects", "outcomes"])
    assert [section.name for section in again.sections] == ["outcomes", "defects"]
    assert again.sections[0].values == first.sections[0].values, "what is known is kept"
    assert (tmp_path / "report.html").is_file()
    calls = model.calls
    evaluate(model, truth(slider), tmp_path, sections=["defects"])
    assert model.calls == calls


def test_another_model_or_truth_is_another_evaluation(
    slider: Reference, broken: Any, tmp_path: Path
) -> None:
    evaluate(broken(), truth(slider), tmp_path, sections=["outcomes"])
    with pytest.raises(InvalidConfig, match="other weights or settings of broken: drifts"):
        evaluate(broken("drifts"), truth(slider), tmp_path, sections=["outcomes"])
    for other, seed in ((truth(slider, windows=4), 0), (truth(slider, first_seed=2), 0)):
        with pytest.raises(InvalidConfig, match="other moments and episodes of the truth"):
            evaluate(broken(), other, tmp_path, sections=["outcomes"], seed=seed)
    with pytest.raises(InvalidConfig, match="or another seed"):
        evaluate(broken(), truth(slider), tmp_path, sections=["outcomes"], seed=1)


def test_what_a_section_lacks_is_said_before_anything_is_computed(
    slider: Reference, broken: Any, tmp_path: Path
) -> None:
    for name, lacks in (("following", "needs idle"), ("ranking", "needs a scorer")):
        with pytest.raises(InvalidConfig, match=lacks):
            evaluate(broken(), truth(slider), tmp_path / "out", sections=[name])
    with pytest.raises(InvalidConfig, match="there is no part 'beauty'"):
        evaluate(broken(), truth(slider), tmp_path / "out", sections=["beauty"], judging=Judging())
    with pytest.raises(InvalidConfig, match="windows must be a whole number of at least 2, not 1"):
        truth(slider, windows=1)
    assert not (tmp_path / "out").exists()
