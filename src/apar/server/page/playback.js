/** The clock of a replay: which steps are to be seen. */
export class Playback {
  playing = false;
  speed = 40; // steps per second

  /** `last`: the last step there is. The position starts at the end. */
  constructor(last) {
    this.last = last;
    this.position = last;
  }

  /** Play from here, or from the start if this is the end. */
  play() {
    if (this.position >= this.last) this.position = -1;
    this.playing = true;
  }

  pause() {
    this.playing = false;
  }

  /** Go to a step; -1 is before the first. */
  seek(step) {
    this.position = Math.min(Math.max(step, -1), this.last);
  }

  /** Let time pass. */
  advance(milliseconds) {
    if (!this.playing) return;
    this.seek(this.position + (this.speed * milliseconds) / 1000);
    if (this.position >= this.last) this.playing = false;
  }

  /** The last step that is to be seen. */
  get step() {
    return Math.floor(this.position);
  }
}
