// Streams: a text as it is made, gone on with where the connection broke.

import { Refusal, askPatiently, countDown } from "./api.js";

/**
 * Yields lists of events ({ name, data }) until the text ends.
 *
 * A connection that breaks is made again with the id of the last event that came, and with the
 * hash of the model that the text began with: the server goes on after that character.
 * Options: signal, onWait (see askPatiently), onAnswer(headers), called at each connection.
 */
export async function* stream(request, options) {
  let lastId = "";
  let model = request.model;
  for (;;) {
    const headers = lastId ? { "Last-Event-ID": lastId } : {};
    const body = { ...request, stream: true, ...(model && { model }) };
    const answer = await askPatiently("generate", body, { ...options, headers });
    if (answer.status === 204) return; // nothing was left but the farewell
    model = answer.headers.get("Charstream-Model") ?? model;
    options.onAnswer?.(answer.headers);
    try {
      for await (const events of eventsOf(answer.body)) {
        lastId = events.findLast((event) => event.id)?.id ?? lastId;
        const last = events.at(-1);
        yield events.filter((event) => event.name !== "error");
        if (last.name === "done") return;
        if (last.name === "error") throw new Refusal(0, last.data, null);
      }
    } catch (error) {
      const draining = error instanceof Refusal && error.code === "draining";
      if (options.signal.aborted || (error instanceof Refusal && !draining)) throw error;
    }
    await countDown(1, null, options);
  }
}

/** Lists of events, as they come in the body's pieces. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      const events = blocks.map(parse).filter(Boolean);
      if (events.length) yield events;
    }
  } finally {
    reader.cancel().catch(() => {}); // a reader that stops early lets the server stop too
  }
}

/** An event of its lines; null of a comment. */
function parse(block) {
  const event = { name: "message", id: "", data: null };
  for (const line of block.split("\n")) {
    if (line.startsWith("data: ")) event.data = JSON.parse(line.slice(6));
    else if (line.startsWith("id: ")) event.id = line.slice(4);
    else if (line.startsWith("event: ")) event.name = line.slice(7);
  }
  return event.data === null ? null : event;
}
