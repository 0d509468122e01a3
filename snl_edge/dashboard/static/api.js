// Requests, and the stream of events with its watchdog.

import { toast } from "./dom.js";

async function answer(response) {
  if (response.status === 401) {
    location.href = "/login";
    throw new Error("log in first");
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error([content.what || `error ${response.status}`, content.why, content.fix].filter(Boolean).join(" · "));
  return content;
}

export const get = async (path) => answer(await fetch(path, { signal: AbortSignal.timeout(10000) }));

// A change of the line; a failure is shown and gives null.
export async function change(path, body) {
  try {
    const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return await answer(response);
  } catch (error) {
    toast(error.message, true);
    return null;
  }
}

// Seconds since a mark, by whichever clock says more: one of them may stand still while a tablet sleeps.
export const mark = () => ({ steady: performance.now(), wall: Date.now() });
export const since = (from) => Math.max(performance.now() - from.steady, Date.now() - from.wall) / 1000;

const SILENCE = 3; // seconds; the line's state comes every second

export class Connection extends EventTarget {
  constructor() {
    super();
    this.state = "waiting";
    this.status = null;
    this.parts = new Map(); // camera -> { part, received }
    this.heard = mark();
    this.open();
    setInterval(() => this.watch(), 250);
    document.addEventListener("visibilitychange", () => this.watch());
  }

  open() {
    this.opened = mark();
    this.source?.close();
    this.source = new EventSource("/api/events");
    this.source.addEventListener("status", (event) => {
      this.heard = mark();
      this.status = JSON.parse(event.data);
      this.turn("live");
      this.dispatchEvent(new CustomEvent("status", { detail: this.status }));
    });
    this.source.addEventListener("part", (event) => {
      this.heard = mark();
      const part = JSON.parse(event.data);
      this.parts.set(part.camera, { part, received: mark() });
      this.dispatchEvent(new CustomEvent("part", { detail: part }));
    });
    this.source.onerror = () => fetch("/api/session").then((response) => { if (response.status === 401) location.href = "/login"; }, () => {});
  }

  watch() {
    if (since(this.heard) > SILENCE) {
      this.turn("lost");
      if (since(this.opened) > SILENCE) this.open();
    }
    this.dispatchEvent(new Event("tick"));
  }

  turn(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("connection", { detail: state }));
  }
}
