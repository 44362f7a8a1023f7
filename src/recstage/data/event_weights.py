"""What an interaction is worth: the weight of each type, as the data set's YAML says.

A type's weight is a number, or grows with the event's value (stars, seconds) by `ValueWeight`. How repeats of a pair
combine is said in `recstage.data.event_log.EventLog.aggregate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from recstage.config import DataConfig, ValueWeight
from recstage.data.event_log import TEST, TRAIN, VALIDATION, EventLog
from recstage.data.interactions import IdMap
from recstage.data.schema import CONTEXT, HELD_OUT, ITEM, TIME, TYPE, USER, VALUE, RawData
from recstage.data.tables.names import plain
from recstage.data.tables.values.attributes import attributes_of
from recstage.data.tables.values.columns import columns_of
from recstage.errors import DataError

KNOWN_WEIGHTS: dict[str, float] = {
    "view": 0.1, "pageview": 0.1, "impression": 0.05, "detailview": 0.1, "pv": 0.1, "visit": 0.1, "play": 0.3,
    "click": 0.4, "listen": 0.5, "watch": 0.5, "like": 0.7, "fav": 0.7, "favorite": 0.7, "favourite": 0.7,
    "wishlist": 0.6, "save": 0.8, "bookmark": 0.8, "cart": 0.6, "addtocart": 0.6, "addtobasket": 0.6, "share": 0.9,
    "rate": 1.0, "rating": 1.0, "review": 0.9, "purchase": 1.0, "buy": 1.0, "order": 1.0, "transaction": 1.0,
    "subscribe": 1.0, "download": 0.8, "dislike": 0.0, "dismiss": 0.0, "skip": 0.0, "hide": 0.0,
    "removefromcart": 0.0, "refund": 0.0,
}  # fmt: skip
"""What usual types are worth, by their names without case and punctuation: a proposal, not applied unasked."""
KNOWN_WORDS: tuple[tuple[str, float], ...] = (
    (r"^(remove|delete|un|dis|cancel|return|refund|retour|storno|entfern|abgelehnt|notinterest|block|mute|report|hide|skip)"
     r"|(removed|deleted|returned|refunded|cancell?ed)$|removedfrom|downvote|dislike|notforme|thumbsdown", 0.0),
    (r"purchase|bought|buy|order|checkout|paid|payment|transaction|sale|kauf|bestell|achat|command|compra|acquist|pedido",
     1.0),
    (r"subscri|signup|download|install|enrol|book(ed|ing)|reserv|implement|complete|finish", 0.9),
    (r"cart|basket|bag$|warenkorb|panier|carrit|carrell|carrinho|winkel", 0.6),
    (r"wish|favo?u?r|^fav|save|bookmark|collect|merk|like|upvote|thumbsup|heart|love|follow", 0.7),
    (r"added$|^add", 0.6),
    (r"share|teilen|gift|recommend|repost|retweet", 0.9),
    (r"rate|rating|review|bewert|comment|reply", 0.9),
    (r"click|klick|clic|tap|select|expand", 0.4),
    (r"play|watch|listen|stream|read|gelesen|gehört", 0.4),
    (r"view|impress|seen|ansicht|vue|vista|visual|visit|besuch|open|detail|page|show|display|browse|scroll", 0.1),
)  # fmt: skip
"""The same by what a name holds, the first that fits."""
OTHER_LANGUAGES: tuple[tuple[str, float], ...] = tuple(
    ("|".join(map(plain, words.split())), weight)
    for words, weight in (
        ("çıkar iade iptal beğenme удал возврат отмен дизлайк скрыт usun zwrot anul"
         " 取消 退款 退货 退貨 删除 刪除 移除 不喜欢 不喜歡 キャンセル 返品 削除 低評価"
         " 취소 환불 반품 삭제 싫어요", 0.0),
        ("satın sipariş ödeme покуп заказ оплат zakup zamów 购买 購買 下单 下單 支付 付款 成交"
         " 購入 注文 구매 주문 결제", 1.0),
        ("sepet корзин koszyk 加购 加購 购物车 購物車 カート 장바구니", 0.6),
        ("beğen favori избран лайк нрав ulubion polub 收藏 喜欢 喜歡 点赞 點讚 いいね お気に入り 좋아요 찜", 0.7),
        ("paylaş подел udostęp 分享 转发 轉發 シェア 共有 공유", 0.9),
        ("yorum değerlendir отзыв оцен ocen recenz 评分 評分 评价 評價 评论 評論 レビュー 評価 리뷰 평가", 0.9),
        ("tıkla клик klik 点击 點擊 クリック 클릭", 0.4),
        ("izle dinle слуш oglą słuch 播放 收听 收聽 観看 观看 觀看 再生 視聴 재생 시청 청취", 0.4),
        ("görüntü incele ziyaret просмотр показ wyświet odsłon 浏览 瀏覽 查看 曝光 閲覧 表示 조회 노출", 0.1),
    )
)  # fmt: skip
"""Stems in Turkish, Russian, Polish, Chinese, Japanese and Korean, as `plain` writes them, likewise."""


def usual_weight(kind: str) -> float | None:
    """What a type is worth by its name, further words or not ("product_viewed"); None where it says nothing."""
    name = plain(kind)
    if name in KNOWN_WEIGHTS:
        return KNOWN_WEIGHTS[name]
    return next((weight for pattern, weight in (*KNOWN_WORDS, *OTHER_LANGUAGES) if re.search(pattern, name)), None)


def weights_of(
    events: pd.DataFrame, weights: Mapping[str, float | ValueWeight], default: float | ValueWeight | None = None
) -> NDArray[np.float32]:
    """The weight of each event: float32[n], `default` of types that `weights` leaves out. A type without a value where
    its weight grows with it earns `low`. Raises `DataError` on types that have none."""
    types = events[TYPE].astype("category").cat.remove_unused_categories()
    codes = types.cat.codes.to_numpy()
    value = events[VALUE].to_numpy(np.float64)
    out = np.zeros(len(events), np.float64)
    for code, name in enumerate(types.cat.categories):
        rule, rows = 1.0 if name == HELD_OUT else weights.get(name, default), codes == code
        if rule is None:
            raise unweighted({str(name): int(rows.sum())}, len(events), "events")
        out[rows] = grown(value[rows], rule) if isinstance(rule, ValueWeight) else rule
    return out.astype(np.float32)


def unweighted(counts: Mapping[str, int], rows: int, name: str) -> DataError:
    """The refusal of a data set whose types have no weight: the types with their counts, and the YAML to add."""
    listed = ", ".join(f"{kind} ({count})" for kind, count in counts.items())
    share = sum(counts.values()) / rows if rows else 1.0
    return DataError(
        f"{name}: {listed}",
        rule=f"these interaction types have no weight, and {share:.0%} of the rows are of them",
        fix=f"Add to its YAML {yaml_of(counts)} (or -P data.weights.TYPE=NUMBER), or set default_weight",
    )


def yaml_of(counts: Mapping[str, int]) -> str:
    """`weights: {...}` on one line, as a proposal: known types as usual, others the more the rarer they are."""
    rarest = min(counts.values(), default=1)
    usual = {kind: usual_weight(kind) for kind in counts}
    proposed = {
        kind: max(0.1, round((rarest / count) ** 0.5, 1)) if (known := usual[kind]) is None else known
        for kind, count in counts.items()
    }
    text: str = yaml.safe_dump({"weights": proposed}, default_flow_style=True, sort_keys=False, width=10**6)
    return text.strip().removeprefix("{").removesuffix("}")


def grown(value: NDArray[np.float64], rule: ValueWeight) -> NDArray[np.float64]:
    """`low` at value 0 (or none), `high` at `full` and above, a straight line between; 0 below zero: a return, or a
    vote against."""
    known = np.nan_to_num(value, nan=0.0)
    share = np.clip(known / rule.full, 0, 1)
    return np.where(known < 0, min(0.0, rule.low), rule.low + (rule.high - rule.low) * share)


def to_log(raw: RawData, config: DataConfig) -> EventLog:
    """Clean events (see `recstage.data.validation`) and the source's own test rows as one log. Ids are sorted, so that
    equal data gives equal indices whatever the order of its rows."""
    parts = {TRAIN: raw.events, VALIDATION: raw.validation, TEST: raw.test}
    given = {part: frame for part, frame in parts.items() if frame is not None}
    moment = [name for name in raw.events if str(name).startswith(CONTEXT)]
    events = raw.events if len(given) == 1 else pd.concat([_coded(frame) for frame in given.values()])
    held_out = np.repeat(np.array(list(given), np.int8), [len(frame) for frame in given.values()])
    users, user_index = sorted_ids(events[USER])
    also = [raw.negatives[ITEM]] if raw.negatives is not None else []
    if raw.items is not None and config.catalogue == "all":
        also.append(raw.items[ITEM])
    items, item_index = sorted_ids(events[ITEM], also=chain.from_iterable(also))
    return EventLog.build(
        users,
        items,
        user_index,
        item_index,
        weights_of(events, config.weights, config.default_weight),
        events[TYPE].isin(config.negative_types).to_numpy(),
        np.floor(events[TIME].to_numpy()).astype(np.int64),
        held_out,
        raw.ordered,
        columns_of(attributes_of(events[moment]).rename(columns=lambda name: name.removeprefix(CONTEXT))),
    )


def sorted_ids(column: pd.Series, also: Iterable[str] = ()) -> tuple[IdMap, NDArray[np.int32]]:
    """The ids of a column and those of `also`, sorted as text, and the index of each row's: int32[n]."""
    codes, ids = pd.factorize(column)
    others = set(also).difference(ids)
    names = np.array([*ids, *others], dtype=object)
    order = np.argsort(names)
    rank = np.empty(len(names), np.int32)
    rank[order] = np.arange(len(names), dtype=np.int32)
    return IdMap(names[order]), rank[codes] if len(names) else np.empty(0, np.int32)


def _coded(events: pd.DataFrame) -> pd.DataFrame:
    """Ids and types as plain text, so that rows with other categories can be appended."""
    return events.astype({USER: "str", ITEM: "str", TYPE: "str"})
