// A request as code: a curl command, and a program that uses the Python client.

import { hasKey } from "../server/api.js";
import { toJSON } from "../server/json.js";

const MAX_ARGUMENT = 100_000; // bytes; Linux accepts arguments of up to 131,071 bytes

/** What a terminal or an editor may change, or not show: all but letters, digits and symbols. */
const FRAGILE = /(?! )[\p{C}\p{M}\p{Z}]/gu;

/**
 * A curl command that sends a request to /generate. It works in sh, bash and zsh, and in fish up to
 * MAX_ARGUMENT. It has no line end, so that a terminal does not run it at once.
 */
export function curlCommand(body) {
  const url = new URL("generate", document.baseURI).href.replaceAll("'", "%27");
  const key = hasKey() ? ' -H "Authorization: Bearer $CHARSTREAM_API_KEY"' : "";
  const command = `curl -sS --fail-with-body '${url}'${key} -H 'Content-Type: application/json'`;
  const json = shellSafe(toJSON(body));
  if (new Blob([json]).size <= MAX_ARGUMENT) return `${command} --data-raw '${json}'`;
  return `${command} --data-binary @- <<'END'\n${json}\nEND`;
}

/**
 * The same JSON without characters that end a quotation or mean something within it: an apostrophe,
 * and the backslash of a text, which fish would take together with the next character.
 */
const shellSafe = (json) =>
  json.replace(/\\\\/g, "\\u005c").replaceAll("'", "\\u0027").replace(FRAGILE, utf16Escapes);

/** \uXXXX for each UTF-16 unit of a character, as JSON has it. */
const utf16Escapes = (character) =>
  character
    .split("")
    .map((unit) => hexEscape(unit.charCodeAt()))
    .join("");

const hexEscape = (code) => `\\u${code.toString(16).padStart(4, "0")}`;

/** A Python program that streams the text of a request with charstream_client. */
export function pythonProgram(body) {
  const url = pythonString(new URL(".", document.baseURI).href.replace(/\/$/, ""));
  const key = hasKey() ? ', api_key=os.environ["CHARSTREAM_API_KEY"]' : "";
  const parameters = Object.entries(body).map(
    ([name, value]) => `        ${name}=${pythonValue(name, value)},\n`,
  );
  return `${key && "import os\n\n"}from charstream_client import Client

with Client(${url}${key}) as client:
    with client.stream(
${parameters.join("")}    ) as stream:
        for event in stream:
            print(event["token"], end="", flush=True)
`;
}

function pythonValue(name, value) {
  if (value === null) return "None";
  if (name === "seed") return String(BigInt(value));
  return pythonLiteral(value);
}

function pythonLiteral(value) {
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value === "string") return pythonString(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return String(value);
  const items = Object.entries(value).map(([key, item]) => `"${key}": ${pythonLiteral(item)}`);
  return `{${items.join(", ")}}`;
}

const pythonString = (text) =>
  `"${text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replace(FRAGILE, pythonEscape)}"`;

/** \UXXXXXXXX: Python would read a pair of \uXXXX as two characters. */
const pythonEscape = (character) => `\\U${character.codePointAt().toString(16).padStart(8, "0")}`;
