/** Asking the server: the API key, a request's body, and the chunks of its answer as they come. */

import { broken, failedMidway, Failure, garbled, refusal, unreachable } from "./network-errors.js";

// The API key, kept as long as the tab is open.
const KEY = "apar-key";
let heldKey = ""; // where the browser keeps nothing

export function readKey() {
  try {
    return sessionStorage.getItem(KEY) ?? heldKey;
  } catch {
    return heldKey;
  }
}

export function keepKey(key) {
  heldKey = key;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // it is held above
  }
}

/** The body of a request. Settings that are not given are left to the server; `sequential`: one thread at a time. */
export function bodyOf(question, settings, model, sequential) {
  const { fork, max_items, max_threads, max_depth, ...sampling } = settings;
  const limits = { fork, max_items, max_threads, max_depth, ...(sequential ? { max_parallel_threads: 1 } : {}) };
  return {
    model,
    messages: [{ role: "user", content: question }],
    stream: true,
    stream_options: { include_usage: true },
    ...sampling,
    apar: { stream: "threads", metrics: true, ...limits },
  };
}

/** The chunks of an answer; throws a Failure, or the signal's AbortError. */
export async function* ask(body, key, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = "Bearer " + key;
  const response = await reach("v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) throw await refusal(response);
  for await (const data of dataOf(response.body, signal)) {
    if (data === "[DONE]") return;
    const chunk = parsed(data);
    if (chunk.error) throw failedMidway(chunk.error);
    yield chunk;
  }
  throw broken();
}

/** The JSON that the server has at `path`, which needs no key: `[status, data]`. */
export async function getJson(path) {
  const response = await reach(path, { cache: "no-store" });
  return [response.status, parsed(await response.text())];
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    throw error.name === "TypeError" && !(options.signal?.aborted) ? unreachable() : error;
  }
}

async function* dataOf(stream, signal) {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  try {
    for (;;) {
      const { value, done } = await read(reader, signal);
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have ended already
  }
}

async function read(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    throw signal.aborted ? error : broken();
  }
}

function parsed(text) {
  try {
    const data = JSON.parse(text);
    if (data !== null && typeof data === "object") return data;
  } catch {
    // reported below
  }
  throw garbled();
}

/** Server-sent events: text in, as it arrives, and the data of each complete event out. */
export class EventParser {
  #rest = ""; // the line that is not complete yet
  #data = []; // the data lines of the event that is not complete yet

  /** The data of the events that `text` completes, in order. Comments and fields other than `data` are left out. */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const complete = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) complete.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line === "data" || line.startsWith("data:")) {
        this.#data.push(line.slice(5).replace(/^ /, ""));
      }
    }
    return complete;
  }
}

export { Failure };
