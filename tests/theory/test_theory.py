"""Every claim of the theory is proved, over a seed that no recipe was tuned on."""

import re
from pathlib import Path

import pytest
import torch
from rich.console import Console

import ae_lightning
from ae_lightning.cli.main import main
from ae_lightning.cli.theory import prove_all, table
from ae_lightning.core.errors import UsageError
from ae_lightning.theory import CLAIMS, claim
from ae_lightning.theory.page import formula, page, words
from ae_lightning.theory.proof import Check, Claim, Proof, Results, prove

SEED = 11  # recipes were tuned on 0 to 4
QUICK = "noise"


@pytest.fixture(scope="module")
def proofs() -> dict[str, Proof]:
    return {proof.claim.name: proof for proof in prove_all(list(CLAIMS), SEED)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_the_claim_is_proved_and_its_wrong_versions_fail(name, proofs) -> None:
    proof = proofs[name]
    if proof.skipped:
        pytest.skip(proof.skipped)
    told = [(c.what, c.value, c.bound, c.wrong) for c in proof.checks if not c.proved]
    assert proof.proved, told
    assert proof.pictures


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_claims(name) -> None:
    stated = claim(name)
    assert stated.name == name
    assert stated.statement.endswith(".")
    assert "<svg" in formula(stated.formula)[0]
    assert stated.formula.startswith("$")
    assert stated.formula.endswith("$")
    for text in (stated.title, stated.source, stated.wrong_version, stated.caption):
        assert text


def test_each_claim_names_statements_of_the_notes_in_their_order() -> None:
    notes = (Path(ae_lightning.__file__).parents[1] / "docs" / "notes.md").read_text()
    statements = re.findall(r"^\*\*(\d+\.\d+)\*\* ", notes, re.MULTILINE)
    assert len(set(statements)) == len(statements)
    named = [number for name in CLAIMS for number in claim(name).notes]
    assert set(named) <= set(statements)
    assert named == sorted(named, key=statements.index)
    assert all(claim(name).notes for name in CLAIMS)


def test_table_and_page_say_which_statements_of_the_notes_are_put_right() -> None:
    proof = Proof(claim("pca"), [], [], "not here", 0.0)
    assert "notes 2.1, 2.2" in " ".join(printed_table(proof, 80))
    assert "(notes 2.1, 2.2)" in page([proof], 0)


def test_a_check_holds_within_its_bounds_and_never_for_nan() -> None:
    assert Check("", 1.0, at_least=1, at_most=1).holds
    assert not Check("", 1.1, at_most=1).holds
    assert not Check("", float("nan")).holds


def test_a_wrong_version_that_passes_disproves_a_check() -> None:
    assert Check("", 0.0, at_most=1, wrong={"w": 2.0}).proved
    assert not Check("", 0.0, at_most=1, wrong={"w": 0.5}).proved


class Stated(Claim):
    """A claim with checks of one's choice."""

    title = statement = source = wrong_version = caption = "stated"
    formula = "$x$"
    checks: tuple[Check, ...] = ()

    def run(self, seed: int) -> Results:
        torch.rand(1)
        yield from self.checks


def test_a_claim_without_a_wrong_version_is_not_proved() -> None:
    stated = Stated()
    stated.checks = (Check("", 0.0, at_most=1),)
    assert not prove(stated).proved


def test_an_experiment_leaves_the_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    prove(Stated())
    assert torch.get_rng_state().equal(before)


def test_the_same_seed_gives_the_same_figures() -> None:
    first, again, other = (prove(claim(QUICK), seed) for seed in (1, 1, 2))
    assert first.checks == again.checks
    assert first.checks != other.checks


def test_an_unknown_claim_is_answered_with_the_nearest(capsys) -> None:
    with pytest.raises(UsageError, match="did you mean score"):
        claim("scoer")
    assert main(["theory", "scoer"]) == 2
    assert "did you mean score?" in capsys.readouterr().err


def test_the_command_prints_the_table_and_writes_the_page(tmp_path: Path, capsys) -> None:
    assert main(["theory", QUICK, "--report", str(tmp_path / "out"), "--seed", str(SEED)]) == 0
    assert QUICK in capsys.readouterr().out
    text = (tmp_path / "out" / "index.html").read_text()
    for part in (claim(QUICK).title, "data:image/png;base64", "<svg", "1 of 1 claims proved"):
        assert part in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_a_claim_that_fails_is_named_with_exit_code_1(monkeypatch, capsys) -> None:
    stated = Stated(QUICK)
    stated.checks = (Check("a figure", 2.0, at_most=1, wrong={"w": 3.0}),)
    proof = prove(stated)
    monkeypatch.setattr("ae_lightning.cli.theory.prove_all", lambda names, seed: [proof])
    assert main(["theory", QUICK]) == 1
    assert f"not proved: {QUICK}" in capsys.readouterr().out


def printed_table(proof: Proof, width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as shown:
        console.print(table(proof, console.width))
    return shown.get().splitlines()


def printed(stated: Claim, width: int) -> list[str]:
    return printed_table(prove(stated), width)


def test_in_80_columns_no_figure_is_cut_and_no_word_broken() -> None:
    stated = Stated("a name")
    what = "relative root mean square against the gradient of the smoothed log-density at σ = 0.05"
    stated.checks = (
        Check(what, -3.4694e-17, at_least=-1.234e-10, at_most=1.2345e-10, wrong={what: -1.5e-05}),
    )
    lines = printed(stated, 80)
    assert max(map(len, lines)) <= 80
    whole = " ".join(lines)
    for figure in ("−3.469·10⁻¹⁷", "[−1.234·10⁻¹⁰, 1.234·10⁻¹⁰]", "−1.5·10⁻⁵", "holds", "fails"):
        assert figure in whole
    assert set(what.split()) <= set(whole.split())
    assert max(map(len, printed(stated, 120))) <= 120


def test_each_claim_is_printed_as_soon_as_it_is_proved(monkeypatch, capsys) -> None:
    told = []

    def one_by_one(names, seed):
        for name in names:
            told.append(capsys.readouterr().out)
            stated = Stated(name)
            stated.checks = (Check("a figure", 0.0, at_most=1, wrong={"w": 3.0}),)
            yield prove(stated)

    monkeypatch.setattr("ae_lightning.cli.theory.prove_all", one_by_one)
    assert main(["theory", "score", "noise"]) == 0
    assert "score" not in told[0]
    assert "score: stated: proved" in told[1]


def test_help_lists_the_claims(capsys) -> None:
    assert main(["theory", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, (module, _) in CLAIMS.items():
        assert f"  {name:12}{module.replace('_', ' ')}" in lines


def test_a_page_writes_indices_low_and_powers_of_ten_high() -> None:
    stated = Stated("a-name")
    stated.checks = (Check("error of p_σ", 3e-17, at_most=1e-10, wrong={"J_f for J_g": 2e-3}),)
    text = page([prove(stated)], 0)
    for part in ("p<sub>σ</sub>", "J<sub>f</sub> for J<sub>g</sub>", "≤ 10⁻¹⁰", "3·10⁻¹⁷"):
        assert part in text
    shown = re.sub(r"<style>.*</style>|<svg.*?</svg>|<[^>]*>", "", text, flags=re.DOTALL)
    assert not re.search(r"\w_\w|\de-\d", shown)
    assert "<th>what is measured</th>" in text


@pytest.mark.parametrize("name", CLAIMS)
def test_no_claim_promises_how_fast_it_is_proved(name) -> None:
    stated = claim(name)
    for text in (stated.title, stated.statement, stated.caption, stated.correction):
        assert not re.search(r"\b(seconds|minutes?)\b", text)
        shown = re.sub("<[^>]*>", "", words(text))
        assert "_" not in shown
        assert not re.search(r"\de-?\d", shown)


def test_figures_that_fail_are_marked_in_table_and_page() -> None:
    stated = Stated()
    stated.checks = (Check("a figure", 2.0, at_most=1, wrong={"w": 0.5}),)
    proof = prove(stated)
    console = Console(width=100)
    with console.capture() as shown:
        console.print(table(proof, console.width))
    for word in ("NOT PROVED", "FAILS", "HOLDS"):
        assert word in shown.get()
    assert "holds!" in page([proof], 0)
    assert "failed" in page([proof], 0)
