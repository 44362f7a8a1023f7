"""Create, upgrade, check, back up and restore the service's database: `python -m serving.store COMMAND`.

The database is the one of the settings (`RECSTAGE_SERVING_DATABASE_URL`, or `database_url` in conf/serving.yaml) unless
`--url` names another. The last line on stdout is a JSON object. Exit status 0: done; 1: an external program such
as pg_dump failed; 2: the input or the database cannot be used. Where it is not 0, one line on stderr says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy.engine import URL

from recstage import cluster
from recstage.config import SyntheticSource
from recstage.errors import ConfigError, RecstageError
from serving import settings
from serving.store.admin import backup, migrate, retention
from serving.store.db.connection import display_url, parse_url, sqlite_path
from serving.store.repositories.events import now_ms

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        chosen = _parser().parse_args(sys.argv[1:] if arguments is None else list(arguments))
        url = parse_url(chosen.url or _configured())
        result = chosen.command(url, chosen)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        print("recstage: interrupted", file=sys.stderr)  # noqa: T201
        return 130
    print(json.dumps(result), flush=True)  # noqa: T201
    return 0


def _configured() -> str:
    url = settings.load().database_url
    if not url:
        raise ConfigError(
            "no database",
            rule="the settings name none",
            fix=f"Set {settings.PREFIX}DATABASE_URL, or give --url sqlite:///data/service.db",
        )
    return url


# -- commands ---------------------------------------------------------------------------------------------------------


def _upgrade(url: URL, chosen: argparse.Namespace) -> Result:
    change = migrate.upgrade(url, chosen.revision, to=chosen.backup, with_backup=not chosen.no_backup)
    return _changed(url, change)


def _downgrade(url: URL, chosen: argparse.Namespace) -> Result:
    change = migrate.downgrade(url, chosen.revision, to=chosen.backup, with_backup=not chosen.no_backup)
    return _changed(url, change)


def _changed(url: URL, change: migrate.Change) -> Result:
    return {
        "database": display_url(url),
        "from": change.before,
        "to": change.after,
        "backup": None if change.backup is None else str(change.backup),
    }


def _backup(url: URL, chosen: argparse.Namespace) -> Result:
    target = chosen.file or backup.default_path(url, backup.verify(url).revision)
    if chosen.keep is not None and chosen.file is not None:
        raise ConfigError(
            f"{chosen.file} and --keep {chosen.keep}",
            rule="--keep counts backups of the default name",
            fix="Leave the file out",
        )
    verified = _verified(backup.back_up(url, target))
    deleted = [] if chosen.keep is None else backup.keep_newest(target, chosen.keep)
    return {"database": display_url(url), "backup": str(target), "deleted": [str(one) for one in deleted], **verified}


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of backups: give 1 or more")
    return int(text)


def _verify(url: URL, chosen: argparse.Namespace) -> Result:
    if chosen.file is not None:
        return {"database": str(chosen.file), **_verified(backup.verify_file(chosen.file))}
    return {"database": display_url(url), **_verified(backup.verify(url))}


def _restore(url: URL, chosen: argparse.Namespace) -> Result:
    return {"database": display_url(url), "restored": str(chosen.file), **_verified(backup.restore(url, chosen.file))}


def _verified(found: backup.Verification) -> Result:
    return {"revision": found.revision, "rows": found.rows}


def _prune(url: URL, chosen: argparse.Namespace) -> Result:
    if chosen.days <= 0:
        raise ConfigError(f"--days {chosen.days:g}", rule="the age in days must be positive", fix="Give 1 or more")
    before = now_ms() - int(chosen.days * 86_400_000)
    return {"database": display_url(url), "removed": retention.prune(url, before)}


def _generate(url: URL, chosen: argparse.Namespace) -> Result:
    from serving.store.admin import synthetic  # imports pandas, which the other commands do not need

    given = {name: getattr(chosen, name) for name in ("users", "items", "seed")}
    for option in ("users", "items", "events", "days"):
        value = getattr(chosen, option)
        if value <= 0:
            raise ConfigError(f"--{option} {value:g}", rule="it must be above 0", fix="Leave it out for the default")
    path = sqlite_path(url)
    if path is not None and not path.exists():
        migrate.upgrade(url)
    source = SyntheticSource(**given, interactions=chosen.events, profile="advice")
    return {"database": display_url(url), **synthetic.generate(url, source, days=chosen.days)}


def _lineage(url: URL, chosen: argparse.Namespace) -> Result:
    from serving.store.training import lineage_index  # imports MLflow, which the other commands do not need

    return {"database": display_url(url), **lineage_index.index(url, chosen.names)}


def _precompute(url: URL, chosen: argparse.Namespace) -> Result:
    from serving.store.training import batch_recommendations  # imports MLflow, as above
    from serving.store.training.chosen_users import UserChoice

    for option, value in (("--limit", chosen.limit), ("--hours", chosen.hours), ("--audiences", chosen.audiences)):
        if value is not None and value <= 0:
            raise ConfigError(f"{option} {value:g}", rule="it must be above 0", fix="Leave it out for the default")
    configured = settings.load()
    if chosen.audiences is not None:
        with cluster.session(chosen.backend):
            return _precompute_audiences(url, chosen, configured)
    served = configured.model_name
    if chosen.name != served:
        raise ConfigError(
            f"name={chosen.name}",
            rule=f"the service reads stored lists of '{served}' alone (model_name), and others would replace them",
            fix=f"Give {served}, or set {settings.PREFIX}MODEL_NAME={chosen.name} as for the service",
        )
    users = UserChoice(chosen.active_days, chosen.top, chosen.users)
    users.check()
    with cluster.session(chosen.backend):
        found = batch_recommendations.precompute(
            url, chosen.name, limit=chosen.limit, hours=chosen.hours, users=users, backend=chosen.backend
        )
    return {"database": display_url(url), **found}


def _classify(url: URL, chosen: argparse.Namespace) -> Result:
    from serving.store.training import batch_classification  # imports MLflow, as above

    below = settings.load().label_below
    return {
        "database": display_url(url),
        **batch_classification.classify_catalogue(url, chosen.name, label_below=below),
    }


def _precompute_audiences(url: URL, chosen: argparse.Namespace, configured: settings.ServingSettings) -> Result:
    from serving.store.audiences import batch  # imports MLflow, as above

    found = batch.precompute_audiences(
        url,
        configured.reverse_model_name,
        top=chosen.audiences,
        min_likes=configured.audience_min_likes,
        limit=chosen.limit,
        hours=chosen.hours,
        backend=chosen.backend,
    )
    return {"database": display_url(url), **found}


# -- the command line -------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as one line, as every command does."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, rule=f"{self.prog} takes no such arguments", fix=f"See {self.prog} --help")


def _with_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backup", type=Path, metavar="FILE", help="file of the backup; default: in backups/ next to the database"
    )
    parser.add_argument(
        "--no-backup", action="store_true", help="make no backup: the database is backed up by other means"
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("python -m serving.store", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[URL, argparse.Namespace], Result], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.add_argument("--url", help="database URL; default: that of the settings")
        one.set_defaults(command=command)
        return one

    one = add(
        "upgrade", _upgrade, "Back up, verify, then upgrade the schema to a revision. Creates a missing SQLite file."
    )
    one.add_argument("revision", nargs="?", default="head", help="the newest by default")
    _with_backup(one)
    one = add("downgrade", _downgrade, "Back up, verify, then downgrade the schema.")
    one.add_argument("revision", help="a revision, -1, or base")
    _with_backup(one)
    one = add("backup", _backup, "Copy the live database to a file and verify the copy; the service keeps running.")
    one.add_argument("file", type=Path, nargs="?", help="a new file; default: in backups/ next to the database")
    one.add_argument("--keep", type=_positive, help="then delete all but so many backups of that name, oldest first")
    one = add(
        "verify", _verify, "Check integrity, foreign keys, revision and row counts of the database or of a backup."
    )
    one.add_argument("file", type=Path, nargs="?", help="a SQLite backup; default: the database itself")
    add("restore", _restore, "Verify a backup, then replace the database by it.").add_argument("file", type=Path)
    one = add("prune", _prune, "Delete events, impressions and feedback older than --days.")
    one.add_argument("--days", type=float, required=True)
    one = add("generate", _generate, "Store synthetic items, users and events, the same for the same seed.")
    one.add_argument("--users", type=int, default=1000, metavar="N")
    one.add_argument("--items", type=int, default=500, metavar="N")
    one.add_argument("--events", type=int, default=20_000, metavar="N")
    one.add_argument("--days", type=float, default=30.0, metavar="N", help="how far back events reach")
    one.add_argument("--seed", type=int, default=42)
    one = add(
        "lineage", _lineage, "Index the users each registered version was trained on, for DELETE /api/users/{id}."
    )
    one.add_argument("names", nargs="*", default=["recommender", "recommender-reverse"], help="registered models")
    one = add("precompute", _precompute, "Store lists by the Production version for all users it knows.")
    one.add_argument("--name", default="recommender", help="registered model")
    one.add_argument(
        "--limit",
        type=int,
        default=50,
        help="items of a list: more than are returned, because some may be hidden later",
    )
    one.add_argument("--hours", type=float, default=24.0, help="how long the lists are valid")
    one.add_argument("--active-days", type=float, metavar="N", help="only users with an event in the last N days")
    one.add_argument("--top", type=int, metavar="N", help="only the N users with the most training interactions")
    one.add_argument(
        "--audiences",
        type=int,
        metavar="N",
        help="in place of lists for users: users for the N most popular items, by the reverse model",
    )
    one.add_argument("--users", type=Path, metavar="FILE", help="only the users of a file, one id a line")
    one.add_argument(
        "--backend",
        choices=("local", "ray"),
        default="local",
        help="ray: make the lists on the cluster at RAY_ADDRESS, else on all cores of this machine",
    )
    one = add("classify", _classify, "Predict categories of the items that a person gave none.")
    one.add_argument("--name", default="item-classifier", help="registered model")
    return parser


if __name__ == "__main__":
    sys.exit(main())
