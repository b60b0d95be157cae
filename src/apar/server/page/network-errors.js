/** What can go wrong with a request, worded so that a person knows what to do. */
export class Failure extends Error {
  /** `wait`: seconds after which asking again makes sense; null where it does not. `key`: the server wants a key. */
  constructor(title, message, { wait = null, key = false } = {}) {
    super(message);
    this.title = title;
    this.wait = wait;
    this.key = key;
  }
}

const TITLES = {
  400: "The server refused the request",
  401: "The server asks for an API key",
  404: "The server does not have this",
  408: "The server waited too long",
  413: "The question is too large",
  429: "The server is busy",
  503: "The server is not ready",
};

/** The failure that a response other than 2xx stands for; reads its body. */
export async function refusal(response) {
  const given = await errorOf(response);
  const title = TITLES[response.status] ?? (response.status < 500 ? TITLES[400] : "The server failed");
  const wait = response.status === 429 || response.status === 503 ? waitOf(response) : null;
  const message = given || `It answered with status ${response.status}.`;
  return new Failure(title, message, { wait, key: response.status === 401 });
}

async function errorOf(response) {
  try {
    const message = (await response.json()).error.message;
    return typeof message === "string" ? message : "";
  } catch {
    return ""; // no JSON, or not of this form: the status has to do
  }
}

/** Seconds until the server wants to be asked again, from 0 to an hour; null if it does not say. */
function waitOf(response) {
  const value = response.headers.get("Retry-After");
  if (value === null || !/^\s*\d+\s*$/.test(value)) return null;
  return Math.min(Number(value), 3600);
}

export const broken = () =>
  new Failure("The answer broke off", "The connection ended before the answer was complete.");

export const garbled = () =>
  new Failure("The answer broke off", "The server sent something that is no part of an answer.");

/** An error that came within the stream of an answer. */
export const failedMidway = (error) =>
  new Failure("The answer broke off", typeof error?.message === "string" ? error.message : "The server failed.");

export const unreachable = () =>
  new Failure("No connection", "The server cannot be reached. Is it running, and is the network up?");
