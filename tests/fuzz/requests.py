"""Requests: any valid combination of fields gives one text, however it is asked for.

A valid request is sent to /generate as JSON, as a stream (POST and GET), and as a stream that is
resumed after a random character, and to /v1/completions as JSON and as a stream. The texts and the
scores must be the same, and /score and /cells must not depend on where a text is divided. Then one
field gets a value that no server accepts: the response must name this field.
"""

from __future__ import annotations

import json
import random
from typing import Any

import httpx

from tests.events import Event, parse_events
from tests.fuzz.counts import Counts

Fields = dict[str, Any]

_UNKNOWN = "\u0416"  # a character that the shipped models do not know
_PRIMES = (0, 1, 20, 300)  # characters
_PATTERNS = ("[A-Z][a-z]+ [A-Z][a-z]+", "", "(?:no|yes)?", "[^\\n]*", "(?i)[a-f ]{5,40}", "a{30}")
_STOPS = (["e"], ["\n", "the"], [_UNKNOWN], ["aaaab"], ["ea", "tz", "sz", " z"])
_SCORES = ("tokens", "token_logprobs", "top_logprobs", "text_offset")  # of /v1
_MAX_LENGTH = 60
_WRONG: dict[str, tuple[Any, ...]] = {  # for both APIs
    "top_k": (-2, 1.5, "5", True),
    "temperature": (-0.1, 100.5, "hot", True),
    "top_p": (0, 1.1, "1"),
    "min_p": (-0.1, 1.1, []),
    "hold": (
        [{"layer": 9, "cell": 0, "value": 0}],
        [{"layer": 0, "cell": 10**30, "value": 0}],
        [{"layer": 0, "cell": 0, "value": 8.1}],
        [{"layer": 0, "cell": 0, "value": 0}] * 2,
        [{"layer": 0, "cell": n, "value": 0} for n in range(9)],
        [{"layer": 0, "cell": 0}],
        [5],
    ),
    "seed": (-1, 2**63, 0.5, "7"),
    "stop": ([""], ["a"] * 5, ["a" * 1001], [5]),
    "logprobs": (-1, 11, "1"),
    "unknown": ("ignore", 1),
    "model": ("nothing", "x" * 201, 5),
    "stream": ("yes", 1),
    "no_such_field": (1,),
}
_WRONG_GENERATE = _WRONG | {
    "prime": (5, ["a"], None),
    "length": (0, 100_001, 1.5, None),
    "pattern": ("(a", "(?=a)b", _UNKNOWN, "a" * 10_001, 5),
    "logit_bias": ({"ab": 1}, {"": 1}, {"e": 101}, {"e": "1"}, {_UNKNOWN: 1}, [1]),
}
_WRONG_COMPLETION = _WRONG | {
    "prompt": (5, [], [[]], ["a", 1], [-1], [10**30]),
    "max_tokens": (-1, 100_001, 1.5),
    "n": (0, 129, 1.5),
    "best_of": (0, 77),
    "guided_regex": ("(a", "(?=a)b", _UNKNOWN, "a" * 10_001, 5),
    "structured_outputs": ({"json": {}}, {"regex": "(a"}, {"regex": 5}, "a"),
    "logit_bias": ({"e": 1}, {"05": 1}, {"99999": 1}, {"5": 101}, [1]),
    "suffix": ("a",),
    "stream_options": ({"include_usage": 1}, {"other": True}),
}


class RequestFuzzer:
    """Sends requests to a server and counts the results.

    Args:
        client: a client of the server.
        chance: draws the requests.
    """

    def __init__(self, client: httpx.Client, chance: random.Random) -> None:
        self._client, self._chance, self.counts = client, chance, Counts()
        info = client.get("/info").json()
        self._vocabulary: list[str] = info["vocabulary"]
        self._layers, self._size = info["layers"], info["hidden_size"]

    def run(self, requests: int) -> None:
        """Send a number of valid requests in all forms, and twice as many invalid ones.

        Raises:
            AssertionError: if the forms differ, or a refusal does not name the wrong field.
        """
        for _ in range(requests):
            fields = self._fields()
            self.counts.tries["valid requests"] += 1
            try:
                self._check_generate(fields)
                self._check_completion(fields)
                self._check_cells()
            except AssertionError as error:
                self.counts.wrong.append(f"{json.dumps(fields)}: {error}")
            self._check_refusal("/generate", fields, _WRONG_GENERATE)
            self._check_refusal("/v1/completions", self._completion(fields), _WRONG_COMPLETION)
        self.counts.check()

    def _fields(self) -> Fields:
        """Return a valid request to /generate, each of whose fields is there or not."""
        chance = self._chance
        unknown = chance.choice(["skip", "reject", "fold"])
        fields = {
            "prime": self._text(chance.choice(_PRIMES)) + _UNKNOWN * (unknown == "skip"),
            "top_k": chance.choice([None, 1, 3, 1000]),
            "temperature": chance.choice([0, 0.3, 1, 4, 100]),
            "top_p": chance.choice([None, 1e-9, 0.6, 1]),
            "min_p": chance.choice([None, 0, 0.1, 1]),
            "hold": [
                {
                    "layer": chance.randrange(self._layers),
                    "cell": cell,
                    "value": chance.uniform(-8, 8),
                }
                for cell in chance.sample(range(self._size), chance.randrange(9))
            ],
            "pattern": chance.choice(_PATTERNS),
            "logit_bias": {
                character: chance.choice([-100, -99.5, 0, 3, 100])
                for character in chance.sample(self._vocabulary, chance.randrange(20))
            },
            "stop": chance.choice(_STOPS),
            "logprobs": chance.randrange(11),
        }
        kept = {name: value for name, value in fields.items() if chance.random() < 0.4}
        seed = chance.choice([0, 7, chance.getrandbits(62)])
        length = chance.randint(1, _MAX_LENGTH)
        return {**kept, "length": length, "seed": seed, "unknown": unknown}

    def _text(self, characters: int) -> str:
        return "".join(self._chance.choices(self._vocabulary, k=characters))

    def _check_generate(self, fields: Fields) -> None:
        """Compare the forms of a request to /generate."""
        response = self._post("/generate", fields)
        if response.status_code == 422:  # a pattern that the biases leave no text
            assert response.json()["errors"][0]["field"] in ("pattern", "logit_bias"), response.text
            return
        assert response.status_code == 200, response.text
        whole = response.json()
        events = self._events("POST", fields)
        if fields.get("pattern") != "":  # an empty value in a query string stands for null
            assert self._events("GET", fields)[:-1] == events[:-1], "GET and POST differ"
        _check_events(whole, events)
        position = self._chance.randint(1, len(whole["text"]) + 1)
        rest = self._events("POST", fields, f"{fields['seed']:x}-{position}")
        assert rest[:-1] == events[position:-1], f"resumed after {position}"
        assert (rest[-1].data["usage"] if rest else None) == (
            events[-1].data["usage"] if position < len(whole["text"]) else None
        ), f"the end after {position}"
        self._check_stop(fields)
        if "logprobs" in whole and whole["text"] and not fields.get("hold"):
            self._check_score(fields.get("prime", "").replace(_UNKNOWN, ""), whole)

    def _check_stop(self, fields: Fields) -> None:
        """Stop a text at a part of it, perhaps followed by a character that does not follow it."""
        chance, free = self._chance, self._post("/generate", {**fields, "stop": []}).json()["text"]
        begin = chance.randint(0, len(free))
        stop = free[begin : begin + chance.randint(1, 4)] + self._text(chance.randint(0, 1))
        if stop:
            text = self._post("/generate", {**fields, "stop": stop}).json()["text"]
            assert text == free.partition(stop)[0], f"stopped before {stop!r}"

    def _check_score(self, prime: str, whole: Fields) -> None:
        """Compare the scores of a text with those of /score, as one text and as one of several."""
        body = {"prime": prime, "text": whole["text"]}
        alone = self._post("/score", body).json()
        names = ("token", "logprob", "rank", "entropy")
        own = [{name: score[name] for name in names} for score in whole["logprobs"]]
        assert [{name: score[name] for name in names} for score in alone["characters"]] == own
        texts = [self._text(5), whole["text"], whole["text"] + self._text(9)]
        several = self._post("/score", {"prime": prime, "texts": texts}).json()["scores"]
        assert several[1] == {**several[1], "characters": len(own), "nats": alone["nats"]}, several

    def _check_cells(self) -> None:
        """Compare the values of cells in the same text with another prime, and after a search."""
        prime, text = (self._text(self._chance.randint(2, 60)) for _ in range(2))
        find = [[0, self._chance.randint(1, len(text) - 1)]]
        found = self._post("/cells", {"prime": prime, "text": text, "find": find}).json()["cells"]
        cells = [{name: cell[name] for name in ("layer", "cell")} for cell in found]
        body = {"prime": prime[:1], "text": prime[1:] + text, "cells": cells}
        for cell, other in zip(found, self._post("/cells", body).json()["cells"], strict=True):
            assert cell["values"] == other["values"][-len(text) :], f"/cells {body}"

    def _check_completion(self, fields: Fields) -> None:
        """Compare the texts of /v1 with each other, and with those of /generate."""
        request = self._completion(fields)
        response = self._post("/v1/completions", request)
        if response.status_code == 400:
            assert response.json()["error"]["param"] in ("guided_regex", "logit_bias"), (
                response.text
            )
            return
        assert response.status_code == 200, response.text
        body = response.json()
        streamed = self._streamed(request)
        for choice in body["choices"]:
            own = {**fields, "seed": choice["seed"]}
            text = self._post("/generate", own).json()["text"]
            index, echo = choice["index"], len(choice["text"]) - len(text)
            assert choice["text"][echo:] == text, f"choice {index}"
            names = ("text", "finish_reason", "logprobs")
            assert streamed[index] == {name: choice[name] for name in names}, f"stream {index}"
        generated = body["usage"]["completion_tokens"]
        characters = sum(len(choice["text"]) for choice in body["choices"])
        if not request["echo"]:
            assert generated == characters, f"{generated} tokens, {characters} characters"

    def _completion(self, fields: Fields) -> Fields:
        """Return the request to /v1/completions for the same text, and perhaps further ones."""
        chance = self._chance
        names = {"prime": "prompt", "length": "max_tokens", "pattern": "guided_regex"}
        request = {names.get(name, name): value for name, value in fields.items()}
        request["top_k"] = -1 if (top_k := fields.get("top_k", 5)) is None else top_k
        ids = {character: str(number) for number, character in enumerate(self._vocabulary)}
        biases = fields.get("logit_bias", {})
        request["logit_bias"] = {ids[character]: bias for character, bias in biases.items()}
        request |= {"n": chance.randint(1, 3), "echo": chance.random() < 0.3}
        return request

    def _streamed(self, request: Fields) -> dict[int, Fields]:
        """Return the text, the finish reason and the scores of each choice of a stream."""
        lines = self._post("/v1/completions", {**request, "stream": True}).text.split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""], lines[-2:]
        texts: dict[int, Fields] = {}
        for line in lines[:-2]:
            (choice,) = json.loads(line.removeprefix("data: "))["choices"]
            text = texts.setdefault(choice["index"], _empty(request))
            assert text["finish_reason"] is None, "a chunk after the last one"
            text["text"] += choice["text"]
            text["finish_reason"] = choice["finish_reason"]
            for name, values in (choice["logprobs"] or {}).items():
                text["logprobs"][name] += values
        return texts

    def _check_refusal(self, path: str, fields: Fields, wrong: dict[str, tuple[Any, ...]]) -> None:
        """Give one field a wrong value. The response must name the field."""
        name = self._chance.choice(list(wrong))
        value = self._chance.choice(wrong[name])
        other = ("pattern", "guided_regex")  # they could be refused first
        request = {key: given for key, given in fields.items() if key not in other or key == name}
        response = self._post(path, {**request, name: value})
        self.counts.tries["invalid requests"] += 1
        body = response.json()
        message = body["detail"] if path == "/generate" else body["error"]["message"]
        allowed = (400, 422, 404, 409) if name == "model" else (400, 422)
        if response.status_code not in allowed or not message.startswith(name):
            shown = f"{name} {str(value)[:80]}"
            self.counts.wrong.append(f"{path} {shown}: {response.status_code} {message[:200]}")

    def _post(self, path: str, body: Fields) -> httpx.Response:
        response = self._client.post(path, json=body)
        self.counts.results[str(response.status_code)] += 1
        return response

    def _events(self, method: str, fields: Fields, last_id: str | None = None) -> list[Event]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        form: Fields = {"json": {**fields, "stream": True}}
        if method == "GET":
            form = {"params": _query(fields)}
        response = self._client.request(method, "/generate", headers=headers, **form)
        self.counts.results[str(response.status_code)] += 1
        assert response.status_code in (200, 204), response.text
        return list(parse_events(response.text.split("\n")))


def _empty(request: Fields) -> Fields:
    """Return a choice of which nothing has arrived."""
    scores: Fields | None = {name: [] for name in _SCORES} if "logprobs" in request else None
    return {"text": "", "finish_reason": None, "logprobs": scores}


def _query(fields: Fields) -> Fields:
    """Return the fields of a request in the forms of a query string."""
    forms: Fields = {name: "" if value is None else value for name, value in fields.items()}
    holds, biases = fields.get("hold", []), fields.get("logit_bias", {})
    forms["hold"] = [f"{one['layer']}:{one['cell']}:{one['value']}" for one in holds]
    forms["logit_bias"] = [f"{character}:{bias}" for character, bias in biases.items()]
    return forms


def _check_events(whole: Fields, events: list[Event]) -> None:
    """Compare a stream with the JSON response to the same request."""
    *characters, done = events
    assert "".join(event.data["token"] for event in characters) == whole["text"], "the text"
    assert [event.id for event in characters] == [
        f"{whole['seed']:x}-{number}" for number in range(1, len(characters) + 1)
    ], "the ids"
    if "logprobs" in whole:
        assert [event.data for event in characters] == whole["logprobs"], "the scores"
    for name in ("finish_reason", "seed", "model"):
        assert done.data[name] == whole[name], name
    count = whole["usage"]["generated_characters"]
    assert count == done.data["usage"]["generated_characters"] == len(characters), "the usage"
