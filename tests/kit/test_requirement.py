from __future__ import annotations

from pathlib import Path

from tests.kit.requirement import PACKAGES, find_program, has_capabilities, requires_program


def test_a_missing_program_is_named_with_its_package() -> None:
    mark = requires_program("no-such-program-here").mark
    assert mark.args == (True,)
    assert mark.kwargs["reason"] == "missing: no-such-program-here (Debian: no-such-program-here)"


def test_a_present_program_skips_nothing() -> None:
    assert requires_program("sh").mark.args == (False,)
    assert find_program("sh") is not None


def test_programs_outside_a_users_path_are_found(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_program("ldconfig") is not None


def test_scripts_test_installs_every_package_the_tests_name() -> None:
    script = (Path(__file__).parents[2] / "scripts" / "test").read_text()
    for program, package in PACKAGES.items():
        assert f"{program}:{package}" in script


def test_a_capability_nobody_has_is_missing() -> None:
    assert has_capabilities()
    assert not has_capabilities(63)
