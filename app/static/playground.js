// The page: sends the form to /generate and shows the characters as they come.

const form = document.querySelector("#controls");
const text = document.querySelector("#text");
const status = document.querySelector("#status");
const generateButton = document.querySelector("#generate");
const stopButton = document.querySelector("#stop");

let source = null;
let received = 0;

function say(message, isError = false) {
  status.textContent = message;
  status.classList.toggle("error", isError);
}

function setRunning(running) {
  generateButton.disabled = running;
  stopButton.disabled = !running;
}

function finish(message, isError = false) {
  source?.close();
  source = null;
  setRunning(false);
  say(message, isError);
}

function address() {
  const fields = new FormData(form);
  if (!fields.get("seed")) fields.delete("seed");
  return `generate?${new URLSearchParams(fields)}`;
}

// EventSource does not tell why it was refused, so ask again in a way that does.
async function explainRefusal(url) {
  const controller = new AbortController();
  try {
    const answer = await fetch(url, { signal: controller.signal });
    const refused = !answer.ok && (await answer.json()).detail;
    return refused || "The stream broke. Try again.";
  } catch {
    return "The server cannot be reached. Try again when it is back.";
  } finally {
    controller.abort();
  }
}

function start() {
  const url = address();
  const node = document.createTextNode("");
  text.replaceChildren(node);
  received = 0;
  source?.close();
  const stream = new EventSource(url);
  source = stream;
  setRunning(true);
  say("Waiting for the first character…");

  stream.onmessage = (event) => {
    node.appendData(JSON.parse(event.data).token);
    received += 1;
    if (received === 1) say("Generating…");
  };
  stream.addEventListener("done", (event) => {
    const { seed, timings, usage } = JSON.parse(event.data);
    const rate = Math.round(timings.characters_per_second).toLocaleString("en");
    finish(`${usage.generated_characters} characters, ${rate} a second, seed ${seed}.`);
  });
  stream.addEventListener("error", async (event) => {
    if (event.data) {
      finish(JSON.parse(event.data).detail, true);
    } else if (stream.readyState === EventSource.CLOSED) {
      finish("Refused…", true);
      const reason = await explainRefusal(url);
      if (source === null) say(reason, true); // unless another stream was started meanwhile
    } else {
      say("Connection lost; trying to go on where it broke…", true);
    }
  });
}

async function showModel() {
  const answer = await fetch("info");
  if (!answer.ok) return;
  const info = await answer.json();
  const loss = info.validation_loss;
  const quality = loss === null ? "" : `, ${loss.toFixed(3)} nats a character`;
  document.querySelector("#model").textContent =
    `${info.name}: ${info.layers} × ${info.hidden_size} LSTM over ` +
    `${info.vocabulary.length} characters${quality}; ${info.precision} on ${info.device}`;
  form.elements.namedItem("length").max = info.limits.length;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
stopButton.addEventListener("click", () => finish(`Stopped after ${received} characters.`));
showModel();
