"""Memory: the algorithm of `model/native/memory.cpp` in Python, with the same bits.

Every number is a float32, and every operation is rounded, in the same order as in C++.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

F = np.float32
Floats = npt.NDArray[np.float32]

ORDERS, CONTEXTS, FOLLOWERS, HISTORY, MAX_MATCH = 4, 1 << 13, 20, 1 << 15, 31
DISCOUNT, PRIOR, LEAST_LOGIT, BANNED, NEVER = map(F, (0.7, 0.1, -20, -1e4, -1e9))
SHARED_RATE, SET_RATE, GAIN_RATE, MAX_WEIGHT = map(F, (0.003, 0.001, 0.03, 3))
LOG_2, LOG_2_E, ROUNDER = F(0.69314718), F(1.44269504), F(12582912)


def logarithm(x: Floats) -> Floats:
    bits = x.view(np.int32)
    exponent = (bits - 0x3F330000) >> 23
    m = (bits - (exponent << 23)).view(F)
    t = (m - F(1)) / (m + F(1))
    u = t * t
    series = ((u * F(1 / 7) + F(1 / 5)) * u + F(1 / 3)) * u + F(1)
    result: Floats = exponent.astype(F) * LOG_2 + t * F(2) * series
    return result


def exponential(x: Floats) -> Floats:
    whole = np.maximum(x, F(-80)) * LOG_2_E + ROUNDER
    r = np.maximum(x, F(-80)) - (whole - ROUNDER) * LOG_2
    series = np.full_like(x, F(1 / 720))
    for term in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1):
        series = series * r + F(term)
    power = (series.view(np.int32) + (whole.view(np.int32) << 23)).view(F)
    return np.where(x < F(-80), F(0), power)


def sum_of(values: Floats) -> F:
    lanes, total = np.zeros(16, F), F(0)
    for row in values.reshape(-1, 16):
        lanes = lanes + row
    for lane in lanes:
        total = total + lane
    return total


@dataclass
class Context:
    tag: int
    ids: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def count(self, character: int) -> bool:
        """Count a character. Return whether it had been counted before."""
        known = character in self.ids
        if known:
            index = self.ids.index(character)
        elif len(self.ids) < FOLLOWERS:
            index = len(self.ids)
            self.ids.append(character)
            self.counts.append(0)
        else:  # the last of those with the lowest count
            index = max(range(FOLLOWERS), key=lambda i: (-self.counts[i], i))
            self.ids[index], self.counts[index] = character, 0
        self.counts[index] += 1
        if self.counts[index] == 255:
            self.counts = [count - (count >> 1) for count in self.counts]
        return known

    @property
    def set(self) -> int:
        """How certain the context is, 0 to 3."""
        total = sum(self.counts)
        return 0 if len(self.ids) > 1 else 3 if total > 3 else 2 if total > 1 else 1


class ReferenceMemory:
    def __init__(self, vocabulary_size: int) -> None:
        self.size, padded = vocabulary_size, -(-vocabulary_size // 16) * 16
        self.counts, self.model, self.remembered, self.mixed = np.zeros((4, padded), F)
        self.contexts: dict[int, Context] = {}  # by the index of the entry
        self.heads: dict[int, int] = {}
        self.history, self.read = [0] * HISTORY, 0
        self.match = self.match_length = 0
        self.total = self.distinct = F(0)
        self.shared = [F(1), F(0)]
        self.sets = [[F(0), F(0)] for _ in range((ORDERS + 1) * 4)]
        lengths = np.arange(MAX_MATCH + 1).astype(F)
        self.gains = logarithm(F(1) + F(0.2) * lengths)
        self.hashes: list[int] = []  # of the contexts, the shortest first
        self.candidate = -1
        self.set = 0

    def mix(self, character: int, logits: Floats) -> Floats:
        """Read a character, and return the logits of the mixture for the next one."""
        if self.read and self.mixed[character] > NEVER / F(2):
            self._learn_weights(character)
        self._learn_counts(character)
        self._append(character)
        self._update_match(character)
        self._predict(logits)
        return self.mixed[: self.size].copy()

    def _learn_weights(self, character: int) -> None:
        surprises = [
            self.model[character] - self.expected_model,
            self.remembered[character] - self.expected_memory,
        ]
        for weights, rate in ((self.shared, SHARED_RATE), (self.sets[self.set], SET_RATE)):
            for i, surprise in enumerate(surprises):
                weights[i] = min(max(weights[i] + rate * surprise, -MAX_WEIGHT), MAX_WEIGHT)
        if self.candidate >= 0:
            error = F(character == self.candidate) - self.candidate_probability
            self.gains[min(self.match_length, MAX_MATCH)] += GAIN_RATE * error

    def _learn_counts(self, character: int) -> None:
        for hashed in reversed(self.hashes):
            if (self._find(hashed) or self._replace(hashed)).count(character):
                return
        self.total += F(1)
        self.distinct += F(self.counts[character] == 0)
        self.counts[character] += F(1)

    def _entries(self, hashed: int) -> list[int]:
        return [hashed % CONTEXTS, hashed % CONTEXTS ^ 1]

    def _find(self, hashed: int) -> Context | None:
        for index in self._entries(hashed):
            if index in self.contexts and self.contexts[index].tag == (hashed >> 16 | 1):
                return self.contexts[index]
        return None

    def _replace(self, hashed: int) -> Context:
        def total(index: int) -> int:
            return sum(self.contexts[index].counts) if index in self.contexts else 0

        first, second = self._entries(hashed)
        if total(second) < total(first):
            first, second = second, first
        if first in self.contexts:
            other = self.contexts[second]
            other.counts = [count - (count >> 2) for count in other.counts]
        self.contexts[first] = Context(hashed >> 16 | 1)
        return self.contexts[first]

    def _append(self, character: int) -> None:
        self.history[self.read % HISTORY] = character
        self.read += 1
        self.hashes, hashed = [], 0
        for order in range(1, min(ORDERS, self.read) + 1):
            character = self.history[(self.read - order) % HISTORY]
            hashed = (hashed + character + 1) * 2654435761 & 0xFFFFFFFF
            hashed ^= hashed >> 15
            mixed = (hashed + order) * 0x85EBCA6B & 0xFFFFFFFF
            self.hashes.append(mixed ^ mixed >> 13)

    def _update_match(self, character: int) -> None:
        goes_on = self.match_length > 0 and self.history[self.match % HISTORY] == character
        self.match_length = self.match_length + 1 if goes_on else 0
        self.match += goes_on
        if self.read < ORDERS:
            return
        slot, here = self.hashes[-1] >> 18, self.read % HISTORY
        head = self.heads.get(slot)
        if not goes_on and head is not None and head != here:
            self.match, length = head, 0
            while length < MAX_MATCH and (
                self.history[(head - 1 - length) % HISTORY]
                == self.history[(self.read - 1 - length) % HISTORY]
            ):
                length += 1
            self.match_length = length if length >= ORDERS else 0
        self.heads[slot] = here

    def _predict(self, logits: Floats) -> None:
        self._predict_counts()
        shared, own = self.shared, self.sets[self.set]
        weights = [min(max(shared[i] + own[i], F(0)), MAX_WEIGHT) for i in range(2)]
        padding = np.full(len(self.mixed) - self.size, NEVER)
        relative = np.concatenate([logits, padding]) - logits.max()
        self.model = np.maximum(relative, LEAST_LOGIT)
        self.remembered = logarithm(self.remembered)
        self.mixed = weights[0] * self.model + weights[1] * self.remembered
        self.mixed[relative < BANNED] = NEVER
        self.candidate = self.history[self.match % HISTORY] if self.match_length else -1
        if self.candidate >= 0:
            self.mixed[self.candidate] += self.gains[min(self.match_length, MAX_MATCH)]
        powers = exponential(self.mixed - self.mixed.max())
        total = sum_of(powers)
        self.expected_model = sum_of(powers * self.model) / total
        self.expected_memory = sum_of(powers * self.remembered) / total
        self.candidate_probability = powers[self.candidate] / total

    def _predict_counts(self) -> None:
        found = [(order, self._find(hashed)) for order, hashed in enumerate(self.hashes, 1)]
        rest, scales, self.set = F(1), {}, 0
        for order, context in reversed(found):
            if context is None:
                continue
            if not self.set:
                self.set = order * 4 + context.set
            scales[order] = rest / (F(sum(context.counts)) + PRIOR)
            rest = scales[order] * (PRIOR + DISCOUNT * F(len(context.ids)))
        scale = rest / (self.total + PRIOR)
        base = scale * (PRIOR + DISCOUNT * self.distinct) / F(self.size)
        counted = self.counts - DISCOUNT
        self.remembered = base + scale * np.where(counted > 0, counted, F(0))
        for order, context in found:
            if context is not None:
                for character, count in zip(context.ids, context.counts, strict=True):
                    self.remembered[character] += scales[order] * (F(count) - DISCOUNT)
