/** The API key, kept as long as the tab is open. */

const NAME = "apar-key";
let held = ""; // where the browser keeps nothing

export function readKey() {
  try {
    return sessionStorage.getItem(NAME) ?? held;
  } catch {
    return held;
  }
}

export function keepKey(key) {
  held = key;
  try {
    if (key) sessionStorage.setItem(NAME, key);
    else sessionStorage.removeItem(NAME);
  } catch {
    // it is held above
  }
}
