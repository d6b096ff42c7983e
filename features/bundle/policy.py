"""The policy: thresholds, rules, lists and defaults, as data that training writes and serving applies."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import msgspec

from features.domain.payment import CHANNELS, LABEL_SOURCES

DECISIONS = ("approve", "challenge", "review", "decline")
OPERATORS = ("<", "<=", ">", ">=", "==")
LIST_KINDS = ("payer", "instrument", "device", "ip", "payee")
#: What each list decides by default: block and allow decide alone, watch decides at least that.
LIST_DECISIONS = {"block": "decline", "allow": "approve", "watch": "review"}
SCORE = "score"  # in a condition: the model's score instead of a feature
MODEL = "model"  # the breakers' key of the model; a rule's key is its name
LARGEST_CHANNEL_RISK = 1_000.0

Condition = tuple[str, str, float]  # feature (or "score"), operator, value


class Rule(msgspec.Struct, frozen=True):
    """If every condition holds, the decision is at least `action`; a missing feature never matches."""

    name: str
    when: tuple[Condition, ...]
    action: str
    sentence: str


class Band(msgspec.Struct, frozen=True):
    """The decision of tier `default` for amounts up to `up_to_minor` reference minor units (None: any)."""

    up_to_minor: int | None
    decision: str


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Half-open score intervals that tile [0, 1], rules, lists, and limits for decisions without the model.

    [0, challenge_at) approve, [challenge_at, review_at) challenge, [review_at, decline_at) review,
    [decline_at, 1] decline; an interval may be empty. `lists` maps a list to what it decides: `block` and `allow`
    decide alone, `watch` at least that. `allow` and `block` map an entity kind to identifiers: a bundle's own lists,
    whose entries a service takes over into its lists once. `default_bands` (ascending) decide when neither model nor
    features are available. `lower_tier_approve_up_to_minor` is the largest amount that a tier without the model
    approves, reference minor units, `lower_tier_exposure_per_minute_minor` the total that such tiers approve within a
    minute (None: no limit); above either limit they challenge. `channel_risk` weights amounts by channel for load
    shedding (1 where absent); `usual_decline_share` is the share of payments that the model (`model`) or a rule (its
    name) usually declines: the initial baseline of its breaker. `label_precedence` ranks the sources of labels,
    highest first.
    """

    challenge_at: float
    review_at: float
    decline_at: float
    rules: tuple[Rule, ...] = ()
    allow: dict[str, tuple[str, ...]] = {}
    block: dict[str, tuple[str, ...]] = {}
    default_bands: tuple[Band, ...] = (Band(200_000, "approve"), Band(None, "challenge"))
    lower_tier_approve_up_to_minor: int = 200_000
    lower_tier_exposure_per_minute_minor: int | None = None
    channel_risk: dict[str, float] = {}
    usual_decline_share: dict[str, float] = {}
    lists: dict[str, str] = msgspec.field(default_factory=LIST_DECISIONS.copy)
    label_precedence: tuple[str, ...] = LABEL_SOURCES

    def to_json(self) -> bytes:
        """Canonical bytes; fields added later are omitted at their default, so that older digests stay valid."""
        fields = msgspec.to_builtins(self, order="deterministic")
        for name, default in _ADDED_LATER.items():
            if fields[name] == default:
                del fields[name]
        return msgspec.json.encode(fields)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, in hex."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def problems(self, feature_names: Collection[str], channels: Collection[str] = CHANNELS) -> list[str]:
        """Every contradiction, each with its repair; empty for a sound policy.

        feature_names, channels: those of the model's catalogue.
        """
        found = []
        if not 0.0 <= self.challenge_at <= self.review_at <= self.decline_at <= 1.0:
            found.append("thresholds must satisfy 0 <= challenge_at <= review_at <= decline_at <= 1.")
        names = [r.name for r in self.rules]
        found += [f"rule {n}: the name is used twice, rename one." for n in sorted(set(names)) if names.count(n) > 1]
        for rule in self.rules:
            if rule.action not in DECISIONS[1:]:
                found.append(f"rule {rule.name}: action {rule.action!r} is none of {', '.join(DECISIONS[1:])}.")
            if not rule.when:
                found.append(f"rule {rule.name}: it has no condition and would match every payment.")
            for feature, operator, _ in rule.when:
                if feature != SCORE and feature not in feature_names:
                    found.append(
                        f"rule {rule.name}: the catalogue has no feature {feature!r}; see `python -m features show`."
                    )
                if operator not in OPERATORS:
                    found.append(f"rule {rule.name}: operator {operator!r} is none of {' '.join(OPERATORS)}.")
        for kind in (*self.allow, *self.block):
            if kind not in LIST_KINDS:
                found.append(f"list of {kind!r}: lists name {', '.join(LIST_KINDS)}.")
        if set(self.lists) != set(LIST_DECISIONS) or not set(self.lists.values()) <= set(DECISIONS):
            found.append(f"lists map each of {', '.join(LIST_DECISIONS)} to one of {', '.join(DECISIONS)}.")
        edges = [b.up_to_minor for b in self.default_bands]
        bounded = [e for e in edges if e is not None]
        if not edges or edges[-1] is not None or None in edges[:-1] or bounded != sorted(set(bounded)):
            found.append("default_bands must ascend and end with one that has no upper amount.")
        if any(b.decision not in DECISIONS for b in self.default_bands):
            found.append(f"default_bands decide one of {', '.join(DECISIONS)}.")
        return found + self._problems_of_bounds(names, channels)

    def _problems_of_bounds(self, rules: Collection[str], channels: Collection[str]) -> list[str]:
        found = []
        if self.lower_tier_approve_up_to_minor < 0:
            found.append("lower_tier_approve_up_to_minor must not be negative; 0 approves nothing without the model.")
        exposure = self.lower_tier_exposure_per_minute_minor
        if exposure is not None and exposure < 0:
            found.append("lower_tier_exposure_per_minute_minor must not be negative; leave it out for no bound.")
        for channel, risk in self.channel_risk.items():
            if channel not in channels:
                found.append(f"channel_risk of {channel!r}: channels are {', '.join(sorted(channels))}.")
            if not 0 < risk <= LARGEST_CHANNEL_RISK:
                found.append(f"channel_risk of {channel!r} must lie in (0, {LARGEST_CHANNEL_RISK:g}].")
        if MODEL in rules:
            found.append(f"rule {MODEL}: breakers use this name for the model, rename the rule.")
        for name, share in self.usual_decline_share.items():
            if name != MODEL and name not in rules:
                found.append(f"usual_decline_share of {name!r}: it names neither {MODEL!r} nor a rule.")
            if not 0 <= share <= 1:
                found.append(f"usual_decline_share of {name!r} is a share: it must lie in 0..1.")
        if sorted(self.label_precedence) != sorted(LABEL_SOURCES):
            found.append(f"label_precedence must name each of {', '.join(LABEL_SOURCES)} once, highest first.")
        return found


_ADDED_LATER: dict[str, object] = {
    "lower_tier_exposure_per_minute_minor": None,
    "channel_risk": {},
    "usual_decline_share": {},
    "lists": LIST_DECISIONS,
    "label_precedence": LABEL_SOURCES,
}

#: A starter set; a deployment edits its own copy in the policy.
STARTER_RULES = (
    Rule("velocity_device_payers_24h", (("device_payer_distinct_24h", ">=", 8),), "challenge",
         "At least eight payers used this device within 24 hours."),
    Rule("velocity_ip_payers_1h", (("ip_payer_distinct_1h", ">=", 12),), "challenge",
         "At least twelve payers used this IP address within an hour."),
    Rule("card_testing_small_10m", (("instrument_small_count_10m", ">=", 5),), "decline",
         "Five or more tiny payments with this instrument within ten minutes."),
    Rule("card_testing_declines_10m", (("instrument_declined_count_10m", ">=", 4),), "decline",
         "The issuer declined this instrument four times or more within ten minutes."),
    Rule("device_declines_1h", (("device_declined_count_1h", ">=", 6),), "review",
         "Six or more payments from this device were declined within an hour."),
    Rule("new_device_large_amount", (("payer_device_is_new", "==", 1), ("payer_count_30d", ">=", 5),
                                     ("amount_to_payer_max_30d", ">=", 3)), "challenge",
         "A device new to this payer spends at least three times the payer's largest amount of 30 days."),
    Rule("collect_burst_payee_1h", (("payee_collect_count_1h", ">=", 15), ("payee_since_first", "<", 604_800)),
         "review",
         "A payee known for less than a week collected fifteen times or more within an hour."),
    Rule("known_fraud_device", (("device_fraud_count_30d", ">=", 2),), "review",
         "Two or more payments from this device within 30 days were reported as fraud."),
    Rule("payer_burst_10m", (("payer_count_10m", ">=", 15),), "challenge",
         "This payer made fifteen payments or more within ten minutes."),
)  # fmt: skip
