"""Every command in the README works as it is written there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ganmodels.recipes import RECIPES
from tests.test_end_to_end import zip_of_classes
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_calls_work_in_their_order(ringside, tmp_path):
    (tmp_path / "photos.zip").write_bytes(zip_of_classes("other"))
    script = "\n".join(BLOCKS).replace("localhost:8000", ringside.url.removeprefix("http://"))
    # -f: an error status fails the command. The README's Ringside has no key, this one has.
    key = ringside.client.headers["Authorization"]
    script = script.replace("curl -s", f'curl -sf -H "Authorization: {key}"')
    run = subprocess.run(
        ["bash", "-euxc", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "images.zip").read_bytes().startswith(b"PK")
    assert '"percentile_real"' in run.stdout
    assert "event: job.done" in run.stdout


@pytest.mark.parametrize("target", re.findall(r"(?:`|\$ )make ([a-z-]+)", README))
def test_the_makefile_has_every_target_of_the_readme(target):
    run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_configuration_table_names_every_setting_and_no_other():
    named = set(re.findall(r"`RINGSIDE_([A-Z_]+)`", README.split("## Configuration")[1]))
    fields = {name.upper() for name in Settings.model_fields}
    assert named - {"URL", "API_KEY"} == fields


def test_the_recipe_table_names_every_recipe_and_no_other():
    table = README.split("## Recipes")[1].split("## Configuration")[0]
    assert re.findall(r"^\| `([a-z0-9-]+)`", table, re.MULTILINE) == list(
        sorted(RECIPES, key=table.index)
    )
    assert set(re.findall(r"^\| `([a-z0-9-]+)`", table, re.MULTILINE)) == set(RECIPES)


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / target).exists(), target


def test_the_rules_of_validity_are_all_in_the_documentation():
    told = (ROOT / "docs/recipes.md").read_text().split("## What does not go together")[1]
    sources = (ROOT / "ganmodels/validity").glob("*.py")
    severity = r'(?:severity,\s*|"error",\s*|"warning",\s*)?'
    code = rf'(?:error|warning|Finding)\(\s*{severity}"([a-z0-9]+-[a-z0-9-]+)"'
    codes = {found for path in sources for found in re.findall(code, path.read_text())}
    assert len(codes) > 30
    assert codes - set(re.findall(r"`([a-z0-9-]+)`", told)) == set()


def test_every_recipe_has_a_paragraph():
    told = (ROOT / "docs/recipes.md").read_text()
    assert {name for name in RECIPES if f"**`{name}`**" not in told} == set()


def test_every_recipe_shows_what_it_draws_but_those_said_to_be_left_out():
    told = (ROOT / "docs/recipes.md").read_text()
    for_gpus = {"r3gan", "r3gan-stacked-mnist"}
    missing = {name for name in RECIPES if f"(images/recipes/{name}.png)" not in told}
    assert missing <= for_gpus | {"sngan", "cgan-pd"}
