"""What the doctor's tests share: a voice in each language, and trials that have answered already."""

import pytest

from lowrank_kit.doctor.findings import TrialError, speaker
from lowrank_kit.i18n import LANGUAGES


class Told:
    """A trial with answers of one's own: {step: value, or the exception it raises}; a step left out was not reached."""

    def __init__(self, answers):
        self.answers = answers

    def value(self, step):
        answer = self.answers.get(step, TrialError(f"{step} was not reached"))
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def told():
    return Told


@pytest.fixture(params=LANGUAGES)
def say(request):
    return speaker(request.param)


@pytest.fixture
def english():
    return speaker("en")


@pytest.fixture
def on(monkeypatch):
    """Pretend to be on another system: on("Windows"), on("Linux", DISPLAY=":0")."""

    def pretend(system, **variables):
        monkeypatch.setattr("platform.system", lambda: system)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return pretend
