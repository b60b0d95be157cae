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
