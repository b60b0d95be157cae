/** What the server is and whether it is ready, shown at the top; asked again until it is. */

import { getJson } from "./client.js";
import { byId } from "./dom.js";

const PAUSE = 2000; // milliseconds

/** Show the server's state in `#server`, for as long as it is not ready. */
export async function watchServer() {
  const place = byId("server");
  for (;;) {
    const { state, text } = await look();
    place.dataset.state = state;
    place.textContent = text;
    if (state === "ok") return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

/** The name of the model that is served; throws a Failure. */
export async function modelName() {
  const [, about] = await getJson("version");
  return String(about.model);
}

async function look() {
  try {
    const [status, health] = await getJson("health");
    if (status !== 200) return { state: "wait", text: [health.status, health.reason].filter(Boolean).join(": ") };
    const [, about] = await getJson("version");
    return { state: "ok", text: `${about.model} · ${about.backend} · version ${about.version}` };
  } catch (failure) {
    return { state: "wait", text: failure.message };
  }
}
