// Live: each camera's last part with its verdict. Picture and verdict change together, so they always belong together.

import { since } from "./api.js";
import { VERDICTS, WORDS, age, h, number, score, subject, toggle, verdictIcon } from "./dom.js";

class Camera {
  constructor(name, session) {
    this.name = name;
    this.stale = session.stale_seconds;
    this.age = h("span", { class: "age" }, "no part yet");
    this.image = h("img", { alt: `Last part at camera ${name}`, hidden: true });
    this.empty = h("div", { class: "empty" }, "No part yet");
    this.stamp = h("div", { class: "stamp", hidden: true });
    this.verdict = h("div", { class: "verdict" });
    this.bar = h("div", { class: "bullet" });
    this.element = h("article", { class: "camera panel", "data-camera": name },
      h("header", {}, h("h2", {}, name), this.age),
      h("div", { class: "well" }, this.image, this.empty, this.stamp), this.verdict, this.bar);
  }

  // Loads one picture at a time and goes on with the newest: a slow tablet skips parts instead of lagging behind.
  offer(held, heatmap) {
    this.next = [held, heatmap];
    if (!this.loading) this.load();
  }

  load() {
    if (!this.next) return;
    const [held, heatmap] = this.next;
    this.next = null;
    if (!held.part.has_picture) return this.show(held, null, "No picture");
    this.loading = true;
    const image = new Image();
    const done = (picture, text) => { this.loading = false; this.show(held, picture, text); this.load(); };
    image.onload = () => done(image.src, "");
    image.onerror = () => done(null, "Picture not loaded");
    image.src = `/api/live/${encodeURIComponent(this.name)}/${held.part.id}?heatmap=${heatmap}`;
  }

  show(held, source, text) {
    this.held = held;
    const { part } = held;
    if (source) this.image.src = source;
    this.image.hidden = !source;
    this.empty.hidden = Boolean(source);
    this.empty.textContent = text;
    this.element.dataset.verdict = part.verdict;
    this.verdict.className = `verdict v-${part.verdict}`;
    const who = subject(part);
    this.verdict.replaceChildren(verdictIcon(part.verdict), h("strong", {}, WORDS[part.verdict]),
      h("div", { class: "who" }, h("b", {}, who || "–"), h("span", {}, part.part ? `Part ${part.part}` : `No. ${part.sequence}`)));
    this.bar.replaceChildren(...bullet(part));
  }

  tick(connection) {
    if (!this.held) return;
    const seconds = this.held.part.age + since(this.held.received);
    const old = seconds > this.stale;
    this.age.textContent = age(seconds);
    this.element.classList.toggle("old", old || connection !== "live");
    this.stamp.hidden = !(old || connection !== "live");
    this.stamp.textContent = connection !== "live" ? "NOT LIVE" : `LAST PART ${age(seconds).toUpperCase()}`;
  }
}

// Score against threshold; the threshold stands in the middle whatever its value.
function bullet(part) {
  if (part.score == null) return [h("span", { class: "muted" }, "not judged")];
  if (part.threshold == null || part.verdict === "unknown") return [h("span", { class: "muted" }, "unknown product"), h("span", {}, `distance ${number(part.product_distance, 2)}`)];
  const bar = h("i", { class: part.score > part.threshold ? "above" : "" });
  bar.style.width = `${Math.min(100, (part.score / part.threshold) * 50)}%`;
  return [h("span", {}, "Score ", h("b", {}, score(part.score))), h("div", { class: "track" }, bar, h("em")), h("span", {}, "Limit ", h("b", {}, score(part.threshold)))];
}

function figure(label, value, unit = "", note = "") {
  return h("div", { class: "figure" }, h("span", { class: "label" }, label), h("strong", {}, value, unit && h("small", {}, ` ${unit}`)), note && h("span", { class: "muted" }, note));
}

function figures(status) {
  const total = VERDICTS.reduce((sum, verdict) => sum + (status.counts[verdict] || 0), 0);
  const share = (verdict) => (total ? `${number((100 * (status.counts[verdict] || 0)) / total, 1)} %` : "–");
  const lost = status.dropped + status.deadline_missed;
  return [
    figure("Throughput", number(status.parts_per_second, 1), "parts/s"),
    figure("Decision time", number(status.latency_p50_ms, 0), "ms", `99 % within ${number(status.latency_p99_ms, 0)} ms`),
    h("table", { class: "counts" }, h("caption", { class: "label" }, `This run · ${number(total)} parts`),
      VERDICTS.map((verdict) => h("tr", {}, h("td", {}, verdictIcon(verdict)), h("th", {}, WORDS[verdict]), h("td", {}, number(status.counts[verdict] || 0)), h("td", { class: "muted" }, share(verdict))))),
    h("div", { class: `figure ${lost ? "notice" : ""}` }, h("span", { class: "label" }, "Not judged in time"),
      h("strong", {}, number(lost)), h("span", { class: "muted" }, `${number(status.dropped)} dropped · ${number(status.deadline_missed)} too late`)),
  ];
}

export function livePage({ page, line, listen, session }) {
  let heatmap = localStorage.getItem("heatmap") !== "off";
  const cameras = new Map();
  const grid = h("div", { class: "cameras" });
  const side = h("aside", { class: "panel figures" });
  const strip = h("a", { class: "strip", href: "#parts", "aria-label": "The last parts; opens the list of rejects" });
  const button = toggle("Heatmap", heatmap, (on) => {
    heatmap = on;
    localStorage.setItem("heatmap", on ? "on" : "off");
    for (const [name, camera] of cameras) if (line.parts.has(name)) camera.offer(line.parts.get(name), heatmap);
  });
  page.append(grid, h("div", { class: "side" }, button, side), h("section", { class: "panel recent" }, h("span", { class: "label" }, "Last parts, newest right"), strip));

  const update = () => {
    const { status } = line;
    if (!status) return;
    if ([...cameras.keys()].join("\n") !== status.cameras.join("\n")) {
      cameras.clear();
      for (const name of status.cameras) cameras.set(name, new Camera(name, session));
      grid.replaceChildren(...[...cameras.values()].map((camera) => camera.element));
      grid.dataset.count = cameras.size;
      for (const [name, held] of line.parts) cameras.get(name)?.offer(held, heatmap);
    }
    side.replaceChildren(...figures(status));
    strip.replaceChildren(...[...status.recent].reverse().map((part) => h("i", { class: `cell v-${part.verdict}`, title: `${part.camera} ${part.product || ""} ${WORDS[part.verdict]}` }, part.verdict !== "good" && verdictIcon(part.verdict))));
  };
  listen("status", update);
  listen("part", ({ detail }) => cameras.get(detail.camera)?.offer(line.parts.get(detail.camera), heatmap));
  listen("tick", () => { for (const camera of cameras.values()) camera.tick(line.state); });
  update();
}
