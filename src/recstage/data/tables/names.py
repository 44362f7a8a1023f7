"""What columns are called elsewhere, and how a column is found under any of its spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE
from recstage.data.tables.values.ids import NULLS
from recstage.errors import DataError, valid_names

HALF = 0.5
TITLE, TEXT, CATEGORIES, AVAILABLE = "title", "text", "categories", "available"
BY_NAME = (
    "movie", "film", "book", "song", "track", "artist", "video", "game", "app", "show", "course", "recipe", "anime",
    "joke", "hotel", "restaurant", "venue", "buch", "livre", "libro", "page_url", "url", "page", "page_path",
    "product_name", "item_name", "movie_title",
)  # fmt: skip
"""Columns that are ids where no better one is: in a file of items they are rather titles."""
SESSIONS = ("session_id", "session", "visit_id", "sitzung")
FOR_WANT_OF_BETTER = frozenset((*BY_NAME, *SESSIONS))
"""Taken as ids where no other column is called like one, in any spelling."""
EVENT_NAMES: dict[str, tuple[str, ...]] = {
    USER: (
        "user_id", "user", "userid", "uid", "customer_id", "customer", "customer_no", "visitor_id", "visitor",
        "client_id", "client", "account_id", "account", "member_id", "member", "subscriber_id", "person_id",
        "reader_id", "buyer_id", "buyer", "shopper_id", "profile_id", "reviewer_id", "cust_id", "user_name", "username",
        "anonymous_id", "distinct_id", "domain_userid", "network_userid", "amplitude_id",
        "user_pseudo_id", "user_key", "user_no", "user_number", "user_email", "email", "email_address", "customer_key",
        "customer_number", "customer_code", "client_no", "learner_id", "student_id", "patient_id", "player_id",
        "household_id", "household_key", "card_no", "card_number", "card_id",
        "loyalty_id", "loyalty_card", "device_id", "cookie_id", "fullvisitorid", "panelist_id", "voter_id",
        "kunde", "kunden_id", "kundennummer", "kunden_nr", "kundenr", "kundnr", "nutzer", "nutzer_id", "benutzer",
        "benutzer_id", "besucher", "besucher_id", "mitglied", "mitgliedsnummer", "utilisateur", "id_utilisateur",
        "utilisateur_id", "id_client", "acheteur", "käufer", "kaeufer", "usuario", "id_usuario", "usuario_id",
        "cliente", "id_cliente", "cliente_id", "utente", "id_utente", "klant", "klant_id", "klantnummer", "gebruiker",
        "gebruiker_id", "klient", "id_klienta", "uzytkownik", "bruker", "bruger", "anvandare", "kund", "kund_id",
        "пользователь", "клиент", "用户", "用户id", "顧客", "顧客id", "ユーザー", "ユーザーid", "会員", "会員id",
        *SESSIONS,
    ),
    ITEM: (
        "item_id", "item", "itemid", "iid", "movie_id", "product_id", "product", "product_code", "sku", "asin",
        "parent_asin", "article_id", "article", "book_id", "isbn", "song_id", "track_id", "artist_id", "content_id",
        "video_id", "game_id", "app_id", "news_id", "recipe_id", "course_id", "business_id", "offer_id", "listing_id",
        "doc_id", "document_id", "post_id", "paper_id", "anime_id", "show_id", "stock_code", "ean", "gtin", "upc",
        "item_no", "item_number", "item_code", "item_key", "product_no", "product_number", "product_key", "product_sku",
        "sku_id", "article_no", "article_number", "isbn13", "isbn10", "joke_id", "question_id", "hotel_id", "beer_id",
        "restaurant_id", "place_id", "venue_id", "poi_id", "location_id", "film_id", "title_id", "exercise_id",
        "artikel", "artikel_id", "artikelnummer", "artikel_nr", "art_nr", "produkt", "produkt_id", "produktnummer",
        "produkt_nr", "ware", "warennummer", "id_article", "produit", "produit_id", "id_produit", "reference",
        "producto", "producto_id", "id_producto", "articulo", "articulo_id", "id_articulo", "prodotto", "prodotto_id",
        "id_prodotto", "articolo", "id_articolo", "produto", "produto_id", "id_produto", "artikelkod", "vare",
        "varenummer", "товар", "товар_id", "商品", "商品id", "商品コード", "品番", "物品", "物品id",
        *BY_NAME,
    ),
    TIME: (
        "timestamp", "time_stamp", "datetime", "date_time", "event_time", "event_timestamp", "event_date", "ts", "time",
        "unix_time", "unix_timestamp", "unix_review_time", "created_at", "created", "occurred_at", "bought_at",
        "purchased_at", "purchase_date", "order_date", "ordered_at", "viewed_at", "watched_at", "rated_at", "read_at",
        "played_at", "date_added", "added_at", "date_updated", "updated_at", "reviewed_at", "start_time", "server_time",
        "invoice_date", "transaction_date", "review_date", "purchase_time", "order_time", "click_time", "view_time",
        "visit_time", "log_time", "local_time", "utc_time", "time_utc", "timestamp_utc", "timestamp_ms", "ts_ms",
        "time_ms", "epoch", "epoch_ms", "t_dat", "datum_uhrzeit", "zeitstempel", "zeitpunkt", "datum",
        "zeit", "bestelldatum", "kaufdatum", "bestellzeit", "kaufzeit", "rechnungsdatum", "buchungsdatum", "horodatage",
        "date_heure", "date_achat", "date_commande", "fecha_hora", "fecha", "fecha_compra", "fecha_pedido",
        "data_ora", "data_acquisto", "data_hora", "data_compra", "data_pedido", "tijdstip", "tijd", "tidspunkt",
        "tidsstampel", "tidpunkt", "czas", "дата", "время", "时间", "时间戳", "日期", "日時", "日付", "購入日",
        "날짜", "일시",
        "date", "day", "tag", "jour", "dia", "giorno", "when", "wann", "at", "position", "rank",
    ),
    TYPE: (
        "interaction_type", "interaction", "event_type", "event_name", "event", "action", "action_type", "activity",
        "behavior", "behaviour", "behavior_type", "behaviour_type", "feedback_type", "feedback", "verb", "type",
        "activity_type", "interaction_kind", "signal", "ereignis", "ereignistyp", "aktion", "aktionstyp", "vorgang",
        "interaktion", "evenement", "type_evenement", "evento", "tipo_evento", "tipo_de_evento", "accion", "azione",
        "acao", "gebeurtenis", "actie", "handelse", "hendelse", "событие", "действие", "行为", "行为类型", "行動",
        "イベント",
    ),
    VALUE: ("value", "rating", "stars", "score", "overall", "review_score", "duration", "dwell_time", "play_count",
            "quantity", "amount", "implicit_rating", "book_rating", "user_rating", "ratings", "plays", "watch_time",
            "star_rating", "grade", "liked", "is_liked", "clicked", "is_click", "is_clicked", "recommended",
            "is_recommended", "thumbs_up", "voted_up", "hours", "hours_played", "listen_count", "qty", "units",
            "seconds_watched", "watch_seconds", "time_spent",
            "purchased", "is_purchased", "is_purchase", "bought", "is_bought", "ordered", "is_ordered", "converted",
            "is_converted", "conversion", "is_conversion", "gekauft", "bestellt", "geklickt", "gefaellt", "comprado",
            "comprada", "achete", "clique", "aime", "acquistato", "gekocht", "kopt", "kobt", "kupione", "куплено",
            "是否购买", "購入済み",
            "bewertung", "sterne", "punkte", "menge", "anzahl", "stueckzahl", "stückzahl", "dauer", "betrag",
            "quantite", "puntuacion", "calificacion", "valoracion", "cantidad", "valutazione", "voto", "quantita",
            "avaliacao", "quantidade", "beoordeling", "waardering", "aantal", "betyg", "antal", "оценка",
            "рейтинг", "количество", "评分", "数量", "評価"),
}  # fmt: skip
"""Ours to theirs, the likeliest first; compared without case, blanks and punctuation."""
ITEM_NAMES: dict[str, tuple[str, ...]] = {
    ITEM: (*(name for name in EVENT_NAMES[ITEM] if name not in BY_NAME), "id", *BY_NAME),
    TITLE: ("title", "name", "item_name", "product_name", "product_title", "movie_title", "item_title", "book_title",
            "article_title", "track_name", "headline", "label", "movie", "film", "book", "song",
            "track", "titel", "bezeichnung", "artikelbezeichnung", "produktname",
            "titre", "nom", "nom_produit", "titulo", "nombre", "nombre_producto", "titolo", "nome", "naam", "namn",
            "название", "名称", "商品名", "標題"),
    TEXT: ("text", "plot", "description", "overview", "body", "content", "summary", "abstract", "synopsis", "details",
           "long_description", "short_description", "product_description", "beschreibung", "produktbeschreibung",
           "descripcion", "descrizione", "descricao", "beschrijving", "beskrivning", "описание", "描述", "説明"),
    CATEGORIES: ("categories", "genres", "category", "genre", "department", "section", "category_name", "category_id",
                 "product_category", "main_category", "product_type", "topic", "topics", "group", "subject",
                 "kategorie", "kategorien", "warengruppe", "rubrik", "categorie", "rayon", "categoria", "reparto",
                 "kategori", "категория", "类别", "分类", "カテゴリ", "カテゴリー"),
    AVAILABLE: ("available", "is_available", "in_stock", "active", "is_active", "availability", "enabled", "verfuegbar",
                "verfügbar", "lieferbar", "disponible", "disponibile"),
}  # fmt: skip

ALSO_TEXT = ("director", "actors", "author", "tags", "keywords", "brand")
"""What is known of an item whose words are worth as much as its text's own, and are appended to it."""


def plain(name: object) -> str:
    """A name without case, accents, blanks and punctuation: "User ID" and "user_id" are one."""
    text = unicodedata.normalize("NFKD", str(name)).casefold()
    return re.sub(r"[\W_]+", "", "".join(c for c in text if not unicodedata.combining(c)))


def stem_of_id(name: str) -> str:
    """A name without what says that it is an id: "member_uuid" is a member's."""
    return re.sub(r"(?<=...)(uuid|guid|id|nr|no|num|number|nummer|key|code|hash)$", "", plain(name))


_USUAL = {plain(name) for names in (*EVENT_NAMES.values(), *ITEM_NAMES.values()) for name in names}


def is_usual(name: str) -> bool:
    """Whether a column of events or items may be called so."""
    return plain(name) in _USUAL


def filled_of(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, float]:
    """The share of a file's first rows in which each column holds anything."""
    return {
        name: sum(len(row) > at and row[at].strip() not in NULLS for row in rows) / max(len(rows), 1)
        for at, name in enumerate(names)
    }


def mapped(
    names: Sequence[str],
    given: Mapping[str, str],
    usual: Mapping[str, Sequence[str]],
    *,
    setting: str,
    where: str,
    filled: Mapping[str, float] = {},  # noqa: B006
) -> dict[str, str]:
    """Our columns to the file's: those that `given` names, and those under a usual name. No column is taken twice; one
    of ours that is given as nothing ("") has none. `filled`: of two columns under usual names one that is mostly empty
    (of values and types: quite empty) is taken only where there is no other; one with a share below 0 never.

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
        if not theirs and "" not in names:
            continue
        actual = theirs if theirs in names else by_plain.get(plain(theirs))
        if actual is None:
            raise DataError(
                f"{where}: column '{theirs}' for {ours}",
                rule="the file has no such column",
                fix=valid_names(theirs, names),
            )
        found[ours] = actual
    by_stem: dict[str, str] = {}
    for name in names:
        by_stem.setdefault(stem_of_id(name), name)
    for ours, candidates in usual.items():
        if ours in given:
            continue
        free = []
        for better in (True, False):
            some = [name for name in candidates if (name not in FOR_WANT_OF_BETTER) == better]
            free += [by_plain.get(plain(name)) for name in some]
            if ours in (USER, ITEM):
                free += [by_stem.get(stem_of_id(name)) for name in some]
        left = [name for name in free if name is not None and name not in found.values() and filled.get(name, 1) >= 0]
        least = HALF if ours in (USER, ITEM, TIME) else 0.0
        full = [name for name in left if filled.get(name, 1.0) > least]
        if left:
            found[ours] = (full or left)[0]
    return {ours: found[ours] for ours in usual if ours in found}
