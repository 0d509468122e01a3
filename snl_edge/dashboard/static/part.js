// One part, large: picture or heatmap, blobs outlined, and all that the journal knows.

import { WORDS, h, moment, number, reason, score, svg, toggle, verdictIcon } from "./dom.js";

// What became of it at one actuator, in the words of the line's health page.
function outcome({ actuator, outcome: word, detail, acknowledged }) {
  const told = word === "open" ? "on the way" : [word, detail].filter(Boolean).join(": ");
  return [`At ${actuator}`, acknowledged == null ? told : `${told} (acknowledged ${moment(acknowledged)})`];
}

function facts(entry) {
  const rows = [
    ...(entry.verdict === "failsafe" ? [["Not judged", reason(entry.reason)]] : []),
    ["Product", entry.product || (entry.verdict === "failsafe" ? null : entry.reason === "mismatch" ? "another than the camera's" : "not learned")],
    ["Recognised", entry.recognised !== entry.product ? entry.recognised : null],
    ["Score", entry.score == null ? null : `${score(entry.score)}  (limit ${score(entry.threshold)}, version ${entry.threshold_version})`],
    ["Product distance", entry.product_distance == null ? null : number(entry.product_distance, 2)],
    ["Reason", entry.verdict === "failsafe" ? null : reason(entry.reason)],
    ["Warning", entry.warning],
    ["Action", entry.shadow ? `${entry.action} (shadow: not done)` : entry.action],
    ...entry.outcomes.map(outcome),
    ["Part id", entry.part],
    ["Encoder", entry.encoder],
    ["Order", entry.order],
    ["Lot", entry.lot],
    ["Operator", entry.operator],
    ...Object.entries(entry.fields),
    ["File", entry.file],
    ["Camera", `${entry.camera}, trigger ${entry.sequence}`],
    ["Captured", moment(entry.captured)],
    ["Decided after", `${number(entry.latency_ms, 1)} ms`],
    ["Recipe", entry.recipe],
    ["Engine", entry.engine.slice(0, 12)],
    ["Journal", `no. ${entry.id}, run ${entry.run}`],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value != null && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
}

function outlines(blobs) {
  return svg("svg", { class: "outlines", viewBox: "0 0 1 1", preserveAspectRatio: "none" },
    blobs.flatMap((blob) => ["edge", "core"].map((kind) => svg("rect", { class: kind, x: blob.x, y: blob.y, width: blob.width, height: blob.height }))));
}

// The frame takes the picture's shape, so that outlines given in shares of it lie where they belong.
function picture(entry, kind, outlined) {
  const image = h("img", { src: `/api/parts/${entry.id}/${kind}`, alt: `Part ${entry.part || entry.id}`, onload: () => frame.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight) });
  const frame = h("div", { class: "fit" }, image, outlined && outlines(entry.blobs));
  return frame;
}

function blobTable(blobs) {
  return h("table", { class: "list blobs" }, h("thead", {}, h("tr", {}, ["Blob", "Peak", "Area"].map((name) => h("th", {}, name)))),
    h("tbody", {}, blobs.map((blob, i) => h("tr", {}, h("td", {}, String(i + 1)), h("td", {}, score(blob.peak)), h("td", {}, `${number(100 * blob.area, 2)} %`)))));
}

// closed is told the place of the part that was shown last.
export function openPart(entries, index, heatmapFirst, closed = () => {}) {
  let heatmap = heatmapFirst;
  let outlined = true;
  const body = h("div", { class: "part-body" });
  const back = h("button", { type: "button", onclick: () => step(-1) }, "‹ Newer");
  const on = h("button", { type: "button", onclick: () => step(1) }, "Older ›");
  const dialog = h("dialog", { class: "part", "aria-label": "Part", onclose: () => { dialog.remove(); closed(index); }, onkeydown: (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  } }, body, h("form", { method: "dialog", class: "row" }, back, on, h("span", { class: "spring" }),
    toggle("Heatmap", heatmap, (value) => { heatmap = value; draw(); }), toggle("Outlines", outlined, (value) => { outlined = value; draw(); }), h("button", { class: "primary" }, "Close")));

  function step(by) {
    if (!entries[index + by]) return;
    index += by;
    draw();
  }

  function draw() {
    const entry = entries[index];
    const kind = heatmap && entry.heatmap ? "heatmap" : entry.image ? "image" : null;
    back.disabled = index === 0;
    on.disabled = index === entries.length - 1;
    body.replaceChildren(
      h("div", { class: "well" }, kind ? picture(entry, kind, outlined) : h("span", { class: "empty" }, "No picture was kept")),
      h("div", { class: "details", tabindex: "0", role: "region", "aria-label": "Details" }, h("div", { class: `verdict v-${entry.verdict}` }, verdictIcon(entry.verdict), h("strong", {}, WORDS[entry.verdict])), facts(entry), entry.blobs.length > 0 && blobTable(entry.blobs)));
    // A key must not be lost because what had the focus is gone or cannot be pressed any more.
    const { activeElement: focused } = document;
    if (dialog.open && (!dialog.contains(focused) || focused.disabled)) body.querySelector(".details").focus();
  }

  draw();
  document.body.append(dialog);
  dialog.showModal();
}
