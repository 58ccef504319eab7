"""A stand-in for MLflow's server, which takes seconds to start."""

from ntkrun.cli.commands import ui


class Server:
    """A process that answers at once and ends at once."""

    pid = 2**22 + 1

    def poll(self):
        return None

    def wait(self):
        return 0


def pretend(monkeypatch):
    """Let ntkrun ui start nothing; return a list that collects the words and environment of each start."""
    called = []

    def start(words, env, **_):
        called.append((words, env))
        return Server()

    monkeypatch.setattr(ui.subprocess, "Popen", start)
    monkeypatch.setattr(ui.os, "killpg", lambda *_: None)
    monkeypatch.setattr(ui, "_answers", lambda port: True)
    monkeypatch.setattr(ui, "free", lambda port: None)
    monkeypatch.setattr(ui, "registered", lambda: True)
    return called
