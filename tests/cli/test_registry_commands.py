import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from consilience.base import ConsilienceError
from consilience.cli import registry_commands
from consilience.registry import Registry
from tests.reference.states import logistic

app = typer.Typer()
registry_commands.register(app)


@pytest.fixture
def where(tmp_path):
    with Registry(tmp_path / "registry") as registry:
        registry.publish("spx", logistic(0), metrics={"auc": 0.51}, verdicts={"edge": True})
        registry.publish("spx", logistic(1, C=2.0), metrics={"auc": 0.53}, verdicts={"edge": False})
    return str(tmp_path / "registry")


def run(where: str, *arguments: str, code: int = 0):
    result = CliRunner().invoke(app, [*arguments, "--registry", where])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def run_json(where: str, *arguments: str):
    return json.loads(run(where, *arguments, "--json"))


def test_versions(where):
    assert [v["number"] for v in run_json(where, "versions")] == ["1.1.0", "1.0.0"]
    assert [v["number"] for v in run_json(where, "versions", "--min", "auc=0.52")] == ["1.1.0"]
    assert "1.1.0" in run(where, "versions", "spx")
    assert run_json(where, "versions", "other") == []


def test_show_diff_lineage(where):
    assert run_json(where, "show", "spx==1.0.0")["history"][0]["kind"] == "publish"
    assert ["params.C", 1.0, 2.0] in run_json(where, "diff", "spx==1.0.0", "spx")["config"]
    assert run_json(where, "diff", "spx==1.0.0", "spx", "spx")["spx==1.1.0"]["auc"] == 0.53
    assert run_json(where, "lineage", "spx")["packages"]
    for command in (["show", "spx"], ["diff", "spx==1.0.0", "spx"], ["lineage", "spx"], ["diff", "spx", "spx"]):
        assert run(where, *command)


def test_promote_rollback_stage(where):
    assert run_json(where, "promote", "spx==1.0.0", "--reason", "x")["pointers"] == ["production"]
    assert (
        run_json(where, "stage", "spx==1.1.0", "staging", "--reason", "x", "--evidence", "r.html")["stage"] == "staging"
    )
    assert run_json(where, "show", "spx==1.1.0")["history"][-1]["data"]["evidence"] == "r.html"
    result = CliRunner().invoke(app, ["promote", "spx==1.1.0", "--reason", "x", "--registry", where])
    assert isinstance(result.exception, ConsilienceError) and "--override" in str(result.exception)
    run(where, "promote", "spx==1.1.0", "--reason", "x", "--override", "paper account")
    assert "spx==1.0.0 is production, at production" in run(where, "rollback", "spx", "--reason", "x")
    assert [v["number"] for v in run_json(where, "versions", "--at", "2100-01-01")] == ["1.1.0", "1.0.0"]


def test_verify_says_what_is_damaged(where):
    assert "as it was published" in run(where, "verify")
    with Registry(where) as registry:
        chunk = registry.artifacts.path(registry.show("spx").digest) / "spec.json"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert "spx==1.1.0" in run(where, "verify", code=1)


def test_a_missing_registry_is_not_created(tmp_path):
    result = CliRunner().invoke(app, ["versions", "--registry", str(tmp_path / "none")])
    assert isinstance(result.exception, ConsilienceError) and not (tmp_path / "none").exists()


def test_the_module_imports_nothing_heavy():
    heavy = "('jax', 'sqlalchemy', 'numpy', 'keras')"
    code = f"import sys, consilience.cli.registry_commands; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_gc_says_what_it_would_do_and_does_it_with_apply(where):
    assert "spx==1.0.0 would be retired" in run(where, "gc", "--keep-latest", "1", "--grace", "0")
    assert len(run_json(where, "versions")) == 2 and run_json(where, "show", "spx==1.0.0")["retired"] is None
    run(where, "gc", "--keep-latest", "1", "--keep-best", "auc", "--grace", "0", "--apply")
    assert run_json(where, "gc", "--apply", "--grace", "0")["removed"]
    assert run_json(where, "show", "spx==1.0.0")["retired"]


def test_export_sign_and_import(where, tmp_path):
    public = run(where, "sign", "--new-key", str(tmp_path / "key")).strip()
    assert run(where, "sign", "spx", "--key", str(tmp_path / "key")).strip() == public
    assert run_json(where, "show", "spx")["signatures"] == {public: True}
    run(where, "export", "spx", str(tmp_path / "spx.bundle"))
    elsewhere = str(tmp_path / "elsewhere")
    arguments = ["import", str(tmp_path / "spx.bundle"), "--name", "taken", "--signed-by", public]
    assert run_json(elsewhere, *arguments)["name"] == "taken"
    assert "as it was published" in run(elsewhere, "verify")


def test_migrate_with_nothing_to_do(where):
    assert "Nothing to do" in run(where, "migrate")
