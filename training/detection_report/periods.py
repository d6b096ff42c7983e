"""The periods of an evaluation: learn, decide, a gap of the label delay, and a test whose truth is known."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from features.catalogue.catalogue import Catalogue
from features.errors import InvalidHistory
from features.history.schema import times_ms
from features.state.columns import addable_amounts_of
from features.state.profiles import Profiles
from features.state.replay import replay_some
from training.data.arrays import Flags, Integers
from training.data.frame import Frame, Progress, payments_of
from training.data.slices import segment_columns
from training.simulator.parameters import DAY_MS, IST_MS, World
from training.simulator.storage import read_history, read_truth
from training.simulator.traffic.calendar import sale_strength


class PeriodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Lengths of the periods in days, in order of time, and the share of the honest rows that is used."""

    warm_up_days: int = 25
    """Rows of this time are not learned from: the windows are not full yet."""
    decide_days: int = 4
    gap_days: int = 14
    """The label delay: younger payments could not have been labelled."""
    test_days: int = 30
    honest_share: float = 1 / 6
    """The share of the payments not known as fraud that is used (every sixth); all of those on sale days."""

    def problems(self, days: int) -> list[str]:
        """Every contradiction with a world of `days` days, each with its repair."""
        found = [f"{name} is {getattr(self, name)}: give at least 1." for name in
                 ("decide_days", "gap_days", "test_days") if getattr(self, name) < 1]  # fmt: skip
        if not 0 < self.honest_share <= 1:
            found.append(f"honest_share is {self.honest_share}: it is a share above 0, at most 1.")
        needed = self.warm_up_days + self.decide_days + self.gap_days + self.test_days + 7
        if needed > days:
            found.append(f"The world has {days} days and the periods need {needed}: simulate a longer one.")
        return found


@dataclass(frozen=True)
class Periods:
    """Frames in order of time. `learn` and `decide` carry the labels known when the test began, `test` the truth.

    `typologies` and `truth` are aligned with the rows of `test`; `learn_typologies` with those of `learn`, and used
    only to leave a typology out.
    """

    learn: Frame
    decide: Frame
    test: Frame
    test_from: pd.Timestamp
    typologies: np.ndarray[tuple[int], np.dtype[np.object_]]
    learn_typologies: np.ndarray[tuple[int], np.dtype[np.object_]]
    world: World

    @property
    def tested(self) -> list[str]:
        """The typologies that occur in the test, by name."""
        return sorted({name for name in self.typologies if name is not None})

    @property
    def learned(self) -> set[str]:
        """The typologies of the frauds that were known when the test began."""
        return set(self.learn_typologies[self.learn.fraud]) - {None}

    def check(self) -> None:
        """Refuse periods that leak the test into learning, by time or by payment.

        Raises:
            InvalidHistory: they overlap, or labels of the test were known.
        """
        gap = self.test.payments["event_time"].min() - self.decide.payments["event_time"].max()
        last = self.learn.payments["event_time"].max()
        problems = []
        if last > self.decide.payments["event_time"].min():
            problems.append("payments of the learn period come after the beginning of the decide period")
        if gap <= pd.Timedelta(0):
            problems.append("the test does not come after what was learned from")
        known = set(self.learn.payments["transaction_id"]) & set(self.test.payments["transaction_id"])
        if known:
            problems.append(f"{len(known)} payments are learned from and tested on")
        for name, part in (("learn", self.learn), ("decide", self.decide)):
            label_ms = part.payments["label_ms"].to_numpy()[part.fraud]
            if label_ms.size and label_ms.max() > self.test_from.value // 1_000_000:
                problems.append(f"the {name} period knows labels from after the beginning of the test")
        if problems:
            raise InvalidHistory(
                "This is no evaluation out of time: " + "; ".join(problems) + ".",
                "Split by time with the label delay as a gap (training/detection_report/periods.py).",
            )


def periods(
    folder: Path,
    world: World,
    catalogue: Catalogue,
    profiles: Profiles | None,
    plan: PeriodPlan,
    progress: Progress | None = None,
) -> Periods:
    """Replay a simulated world and split it into periods.

    Raises:
        InvalidHistory: the world is not whole, or too short for the plan.
    """
    problems = plan.problems(world.days)
    if problems:
        raise InvalidHistory(" ".join(problems), "Change the plan or the world.")
    history, truth = read_history(folder), read_truth(folder)
    times = times_ms(history["event_time"])
    day = (times - world.start_ms) // DAY_MS
    test_day = world.days - plan.test_days
    decide_day = test_day - plan.gap_days - plan.decide_days
    test_from = pd.Timestamp(world.start_ms + test_day * DAY_MS, unit="ms", tz="UTC")
    table = _payments(history, truth, catalogue, times)
    known = table["reported_fraud"].to_numpy() & (table["label_ms"].to_numpy() <= test_from.value // 1_000_000)

    honest = np.zeros(len(table), np.bool_)
    honest[:: max(round(1 / plan.honest_share), 1)] = True
    honest |= table["sale"].to_numpy() > 0  # sale days are few, so all their payments are used
    learn = (day >= plan.warm_up_days) & (day < decide_day) & (known | honest)
    decide = (day >= decide_day) & (day < test_day - plan.gap_days) & (known | honest)
    test = day >= test_day
    keep = learn | decide | test
    values = replay_some(history, catalogue, keep, profiles, progress)
    table = table.assign(is_fraud=np.where(test, table["truth"], known))[keep].reset_index(drop=True)
    whole = Frame(table, values, catalogue.names)
    typology = table["story"].to_numpy(dtype=object)

    def part(wanted: Flags) -> Frame:
        rows = np.flatnonzero(wanted[keep])  # in order of time: contiguous
        return whole.rows(slice(rows[0], rows[-1] + 1) if rows.size else slice(0))

    return Periods(part(learn), part(decide), part(test), test_from, typology[test[keep]], typology[learn[keep]], world)


def _payments(history: pa.Table, truth: pa.Table, catalogue: Catalogue, times: Integers) -> pd.DataFrame:
    """The columns of a frame, and the truth."""
    if not truth["transaction_id"].equals(history["transaction_id"]):
        raise InvalidHistory("History and truth are of different payments.", "Simulate the world again with --fresh.")
    amounts = addable_amounts_of(history, catalogue)
    return payments_of(history, amounts).assign(
        story=truth["story"].to_pandas(),
        truth=truth["is_fraud"].to_numpy(),
        sale=_sale(times),
        **segment_columns(history, amounts),
    )


def _sale(times: Integers) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Strength of the sale (1: the festival) on the Indian day of each payment."""
    days, place = np.unique((times + IST_MS) // DAY_MS, return_inverse=True)
    strengths = [sale_strength(dt.date(1970, 1, 1) + dt.timedelta(days=int(day))) for day in days]
    return np.array(strengths, np.float64)[place]
