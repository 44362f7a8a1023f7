"""What columns are called elsewhere, and how a column is found under any of its spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE
from recstage.errors import DataError, valid_names

TITLE, TEXT, CATEGORIES, AVAILABLE = "title", "text", "categories", "available"
EVENT_NAMES: dict[str, tuple[str, ...]] = {
    USER: (
        "user_id", "user", "userid", "uid", "customer_id", "customer", "customer_no", "visitor_id", "visitor",
        "client_id", "client", "account_id", "account", "member_id", "member", "subscriber_id", "person_id",
        "reader_id", "buyer_id", "buyer", "shopper_id", "profile_id", "reviewer_id", "cust_id", "user_name", "username",
        "user_pseudo_id", "session_id", "session",
    ),
    ITEM: (
        "item_id", "item", "itemid", "iid", "movie_id", "product_id", "product", "product_code", "sku", "asin",
        "parent_asin", "article_id", "article", "book_id", "isbn", "song_id", "track_id", "artist_id", "content_id",
        "video_id", "game_id", "app_id", "news_id", "recipe_id", "course_id", "business_id", "offer_id", "listing_id",
        "doc_id", "document_id", "post_id", "paper_id", "anime_id", "show_id", "stock_code", "ean", "gtin", "upc",
    ),
    TIME: (
        "timestamp", "time_stamp", "datetime", "date_time", "event_time", "event_timestamp", "event_date", "ts", "time",
        "unix_time", "unix_timestamp", "unix_review_time", "created_at", "created", "occurred_at", "bought_at",
        "purchased_at", "purchase_date", "order_date", "ordered_at", "viewed_at", "watched_at", "rated_at", "read_at",
        "played_at", "date_added", "added_at", "date_updated", "updated_at", "reviewed_at", "start_time", "server_time",
        "invoice_date", "transaction_date", "review_date", "date", "day", "when", "at", "position", "rank",
    ),
    TYPE: (
        "interaction_type", "interaction", "event_type", "event_name", "event", "action", "action_type", "activity",
        "behavior", "behaviour", "behavior_type", "feedback_type", "verb", "type",
    ),
    VALUE: ("value", "rating", "stars", "score", "overall", "review_score", "duration", "dwell_time", "play_count",
            "quantity", "amount", "implicit_rating", "book_rating", "user_rating", "ratings", "plays", "watch_time"),
}  # fmt: skip
"""Ours to theirs, the likeliest first; compared without case, blanks and punctuation."""
ITEM_NAMES: dict[str, tuple[str, ...]] = {
    ITEM: (*EVENT_NAMES[ITEM], "id"),
    TITLE: ("title", "name", "item_name", "product_name", "product_title", "movie_title", "item_title", "book_title",
            "article_title", "track_name", "headline", "label"),
    TEXT: ("text", "plot", "description", "overview", "body", "content", "summary", "abstract", "synopsis", "details",
           "long_description", "short_description", "product_description"),
    CATEGORIES: ("categories", "genres", "category", "genre", "department", "section", "category_name", "category_id",
                 "product_category", "main_category", "product_type", "topic", "topics", "group", "subject"),
    AVAILABLE: ("available", "is_available", "in_stock", "active", "is_active", "availability", "enabled"),
}  # fmt: skip


def plain(name: object) -> str:
    """A name without case, accents, blanks and punctuation: "User ID" and "user_id" are one."""
    text = unicodedata.normalize("NFKD", str(name)).casefold()
    return re.sub(r"[\W_]+", "", "".join(c for c in text if not unicodedata.combining(c)))


_USUAL = {plain(name) for names in (*EVENT_NAMES.values(), *ITEM_NAMES.values()) for name in names}


def is_usual(name: str) -> bool:
    """Whether a column of events or items may be called so."""
    return plain(name) in _USUAL


def mapped(
    names: Sequence[str], given: Mapping[str, str], usual: Mapping[str, Sequence[str]], *, setting: str, where: str
) -> dict[str, str]:
    """Our columns to the file's: those that `given` names, and those under a usual name. No column is taken twice.

    Raises `DataError` on a column that is none of ours, or that the file does not have.
    """
    by_plain: dict[str, str] = {}
    for at, name in enumerate(names, 1):
        by_plain.setdefault(plain(name), name)
        by_plain.setdefault(plain(f"column_{at}"), name)
    found: dict[str, str] = {}
    for ours, theirs in given.items():
        if ours not in usual:
            raise DataError(f"{setting}.{ours}", rule="no such column of ours", fix=valid_names(ours, usual))
        actual = theirs if theirs in names else by_plain.get(plain(theirs))
        if actual is None:
            raise DataError(
                f"{where}: column '{theirs}' for {ours}",
                rule="the file has no such column",
                fix=valid_names(theirs, names),
            )
        found[ours] = actual
    for ours, candidates in usual.items():
        if ours in found:
            continue
        free = (by_plain.get(plain(name)) for name in candidates)
        first = next((name for name in free if name is not None and name not in found.values()), None)
        if first is not None:
            found[ours] = first
    return {ours: found[ours] for ours in usual if ours in found}
