// Streamed generation over server-sent events, resumed when the connection breaks.

import { ApiError, connected, parseJSON, requestWithRetry } from "./api.js";
import { ConnectionError, Retries } from "./retries.js";

/**
 * Yields lists of events ({ name, data }) until the generation ends.
 *
 * If the connection breaks, the request is sent again with the id of the last received event and
 * the hash of the model that began the text. The server then continues after that character.
 *
 * Options: `signal`, `onWait` and `onGiveUp` (see Retries), and `onResponse(headers)`, which is
 * called for each connection.
 */
export async function* stream(body, options) {
  const { signal } = options;
  const retries = new Retries(options);
  let lastEventId = "";
  let model = body.model;
  for (;;) {
    const headers = lastEventId ? { "Last-Event-ID": lastEventId } : {};
    const streamBody = { ...body, stream: true, ...(model && { model }) };
    const response = await requestWithRetry("generate", streamBody, { signal, retries, headers });
    if (response.status === 204) return; // all characters had arrived; only `done` was lost
    model = response.headers.get("Charstream-Model") ?? model;
    options.onResponse?.(response.headers);
    try {
      for await (const events of readEvents(response.body, signal)) {
        lastEventId = events.findLast((event) => event.id)?.id ?? lastEventId;
        if (events.some((event) => event.id)) retries.reset();
        const last = events.at(-1);
        yield events.filter((event) => event.name !== "error");
        if (last.name === "done") return;
        if (last.name === "error") throw new ApiError(0, last.data, null);
      }
    } catch (error) {
      const isBroken = error instanceof ConnectionError || error.code === "draining";
      if (signal.aborted || !isBroken) throw error;
    }
    await retries.wait(null);
  }
}

/** Yields the events of a response body, one list per received piece. */
async function* readEvents(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await connected(reader.read(), signal);
      if (done) return;
      const blocks = (buffer + value).split("\n\n");
      buffer = blocks.pop(); // the part of an event that is still incomplete
      const events = blocks.map(parseEvent).filter(Boolean);
      if (events.length) yield events;
    }
  } finally {
    reader.cancel().catch(() => {}); // closes the connection, so that the server stops too
  }
}

/** Parses the lines of one event. Returns null for a comment. */
function parseEvent(block) {
  const event = { name: "message", id: "", data: null };
  for (const line of block.split("\n")) {
    if (line.startsWith("data: ")) event.data = parseJSON(line.slice(6));
    else if (line.startsWith("id: ")) event.id = line.slice(4);
    else if (line.startsWith("event: ")) event.name = line.slice(7);
  }
  return event.data === null ? null : event;
}
