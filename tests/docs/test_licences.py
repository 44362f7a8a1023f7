"""docs/licences.md lists what is pinned, with a licence for each."""

from experiments.guide import licences


def listed() -> dict[str, tuple[str, str]]:
    rows = [line.strip("| ").split(" | ") for line in licences.PAGE.read_text().splitlines() if line.startswith("| `")]
    return {name.strip("`"): (version, licence) for name, version, licence in rows}


def test_every_pin_is_listed_with_its_version():
    versions = {name: version for name, (version, _) in listed().items()}
    assert versions == licences.pinned(), "docs/licences.md is out of date: run `make licences`"


def test_licences_are_those_of_the_installed_packages():
    now = dict(line.strip("| ").split(" | ")[::2] for line in licences.page().splitlines() if line.startswith("| `"))
    wrong = {
        name: (licence, now[f"`{name}`"])
        for name, (_, licence) in listed().items()
        if licences.ELSEWHERE not in (licence, now[f"`{name}`"]) and licence != now[f"`{name}`"]
    }
    assert wrong == {}, "docs/licences.md is out of date: run `make licences`"
