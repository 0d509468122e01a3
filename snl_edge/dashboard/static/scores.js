// Scores: how the last parts scored, and what another threshold would have done to exactly these parts.

import { change, get } from "./api.js";
import { confirm, h, number, score, svg, toast, verdictIcon, WORDS } from "./dom.js";

const BINS = 60;
const WIDTH = 1000;
const HEIGHT = 320;
const STEP = 0.005;
const LASTS = [["200", "200"], ["1000", "1,000"], ["5000", "5,000"]];

const rejectsAt = (parts, threshold) => parts.filter((part) => part.verdict !== "unknown" && part.score > threshold).length;

// Counts per bin and verdict; what lies beyond the right edge is in the last bin.
function binned(parts, edge) {
  const bins = Array.from({ length: BINS }, () => ({ good: 0, reject: 0, unknown: 0 }));
  for (const part of parts) bins[Math.min(BINS - 1, Math.max(0, Math.floor((part.score / edge) * BINS)))][part.verdict] += 1;
  return bins;
}

// A right edge and a step between ticks that are round.
function scale(most) {
  const step = [0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10].find((one) => most / one <= 8) ?? most / 8;
  return { step, edge: Math.ceil(most / step) * step };
}

function chart(parts, edge, inForce) {
  const bins = binned(parts, edge);
  const most = Math.max(1, ...bins.map((bin) => bin.good + bin.reject + bin.unknown));
  const step = WIDTH / BINS;
  const bars = bins.flatMap((bin, i) => {
    let y = HEIGHT;
    return ["good", "reject", "unknown"].filter((verdict) => bin[verdict]).map((verdict) => {
      // A single part must be seen beside hundreds.
      const height = Math.max(5, (bin[verdict] / most) * (HEIGHT - 24));
      y -= height;
      return svg("rect", { class: `bar v-${verdict}`, x: i * step + 1, y, width: step - 2, height }, svg("title", {}, `${bin[verdict]} ${WORDS[verdict]}`));
    });
  });
  const line = (kind) => svg("line", { class: kind, y1: 0, y2: HEIGHT });
  const [now, then] = [line("in-force"), line("chosen")];
  const shade = svg("rect", { class: "shade", y: 0, height: HEIGHT });
  const at = (element, value) => { for (const end of ["x1", "x2"]) element.setAttribute(end, (value / edge) * WIDTH); };
  at(now, inForce);
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Histogram of ${parts.length} scores` },
    shade, bars, now, then);
  const move = (value) => {
    at(then, value);
    shade.setAttribute("x", (Math.min(value, inForce) / edge) * WIDTH);
    shade.setAttribute("width", (Math.abs(value - inForce) / edge) * WIDTH);
  };
  return { picture, move, most, overflow: parts.filter((part) => part.score > edge).length };
}

// What is being made: the product of most of the last parts, the newer one where two are even.
function usualProduct({ recent, products }) {
  const seen = new Map();
  for (const { product } of recent) if (products.includes(product)) seen.set(product, (seen.get(product) ?? 0) + 1);
  const newest = [...recent].reverse().map(({ product }) => product);
  return [...seen].sort(([a, many], [b, more]) => more - many || newest.indexOf(a) - newest.indexOf(b))[0]?.[0] ?? products[0] ?? "";
}

export async function scoresPage({ page, line, listen, session, query }) {
  if (!line.status) await new Promise((resolve) => line.addEventListener("status", resolve, { once: true }));
  let product = query.get("product") ?? usualProduct(line.status);
  let last = "1000";
  let asked = 0;
  let drawn = line.status.threshold_version;
  const body = h("div", { class: "scores-body" });
  const group = (options, value, changed) => {
    const box = h("div", { class: "segments", role: "group" });
    box.append(...options.map(([key, text]) => h("button", { type: "button", "aria-pressed": String(key === value), "data-value": key, onclick: (event) => {
      if (event.currentTarget.getAttribute("aria-pressed") === "true") return;
      for (const other of box.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
      changed(key);
    } }, text)));
    return box;
  };
  page.append(h("section", { class: "panel filters" }, h("div", { class: "row" },
    h("div", { class: "field" }, h("span", { class: "label" }, "Product"), group([...line.status.products.map((name) => [name, name]), ["", "All others"]], product, (key) => { product = key; history.replaceState(null, "", `#scores?${new URLSearchParams({ product })}`); load(); })),
    h("span", { class: "spring" }),
    h("div", { class: "field" }, h("span", { class: "label" }, "Last parts"), group(LASTS, last, (key) => { last = key; load(); })))), body);

  async function load() {
    const turn = ++asked;
    const search = new URLSearchParams({ last });
    if (product) search.set("product", product);
    // What is still shown is not what was asked for: a threshold chosen on it would be lost when the answer comes.
    body.inert = true;
    try {
      const found = await get(`/api/scores?${search}`);
      if (turn === asked) draw(found);
    } catch (error) {
      if (turn === asked) body.replaceChildren(h("section", { class: "panel" }, h("p", { class: "bad" }, error.message), h("button", { type: "button", onclick: load }, "Try again")));
    } finally {
      if (turn === asked) body.inert = false;
    }
  }

  function draw({ parts, threshold: inForce, own_threshold: own, usual, version }) {
    drawn = version;
    if (!parts.length) {
      body.replaceChildren(h("section", { class: "panel" }, h("p", { class: "muted" }, "No part of this product has been judged lately by the recipe that is running.")));
      return;
    }
    const sorted = parts.map((part) => part.score).sort((a, b) => a - b);
    const { edge, step } = scale(Math.max(1.6 * inForce, sorted[Math.floor(0.98 * (sorted.length - 1))]));
    const { picture, move, most, overflow } = chart(parts, edge, inForce);
    const now = rejectsAt(parts, inForce);
    const output = h("output", { class: "value" });
    const said = h("div", { class: "prediction", "aria-live": "polite" });
    const may = session.may.includes("/api/threshold");
    const apply = h("button", { type: "button", class: "primary wide", onclick: ask }, "Set this threshold…");
    const reset = h("button", { type: "button", onclick: () => set(inForce) }, "Back to the one in force");
    const slider = h("input", { type: "range", min: STEP, max: edge, step: "any", value: inForce, "aria-label": "Threshold", oninput: () => set(Number(slider.value), false) });
    const nudge = (by, text) => h("button", { type: "button", class: "nudge", "aria-label": by > 0 ? "higher" : "lower", onclick: () => set(Math.min(edge, Math.max(STEP, chosen + by))) }, text);
    let chosen = inForce;

    function set(value, slide = true) {
      chosen = value === inForce ? value : Math.round(value * 1000) / 1000 || STEP;
      if (slide) slider.value = chosen;
      move(chosen);
      output.textContent = score(chosen);
      const then = rejectsAt(parts, chosen);
      const [low, high] = [Math.min(chosen, inForce), Math.max(chosen, inForce)];
      const changing = then - now;
      const link = new URLSearchParams({ score_above: low, score_to: high });
      for (const verdict of ["good", "reject"]) link.append("verdict", verdict);
      if (product) link.set("product", product);
      said.replaceChildren(
        h("div", { class: "pair-now" }, h("span", { class: "label" }, "Rejected now"), h("strong", { id: "rejects-now" }, number(now)), h("small", {}, `of ${number(parts.length)} · ${number((100 * now) / parts.length, 1)} %`)),
        h("div", { class: "arrow", "aria-hidden": "true" }, "→"),
        h("div", { class: `pair-then ${changing ? "changed" : ""}` }, h("span", { class: "label" }, "Rejected then"), h("strong", { id: "rejects-then" }, number(then)), h("small", {}, `of ${number(parts.length)} · ${number((100 * then) / parts.length, 1)} %`)),
        h("p", { class: "effect" }, changing > 0 ? `${number(changing)} more of these parts would be rejected.` : changing < 0 ? `${number(-changing)} of these rejects would pass.` : chosen === inForce ? "Move the slider to see what another threshold would have done." : "No verdict of these parts would change.",
          changing !== 0 && h("a", { class: "button", href: `#parts?${link}` }, "Look at them")));
      apply.disabled = reset.disabled = chosen === inForce;
    }

    async function ask() {
      const then = rejectsAt(parts, chosen);
      const whom = product || "all products without a threshold of their own";
      const unusual = usual && (chosen < usual[0] || chosen > usual[1]);
      const sure = await confirm("Set the threshold?", [`${whom}: ${score(inForce)} → ${score(chosen)}`,
        `Of the last ${number(parts.length)} parts, ${number(then)} would be rejected instead of ${number(now)}. If the line has golden samples, it is tried on them first. It applies from the next part on.`,
        ...(unusual ? [`This is far from what training chose, whose usual range is ${score(usual[0])} to ${score(usual[1])}. The health page will show a warning for as long as it is so.`] : [])],
      `Set ${score(chosen)}`, then < now || unusual);
      const done = sure && await change("/api/threshold", { value: chosen, product: product || null, confirmed: Boolean(unusual) });
      if (done) {
        toast(`Threshold of ${whom} is ${score(chosen)}${done.golden ? `: ${done.golden.text}` : ""}`);
        load();
      }
    }

    const count = (verdict) => parts.filter((part) => part.verdict === verdict).length;
    const ticks = Array.from({ length: Math.round(edge / step) + 1 }, (_, i) => h("span", {}, number(step * i, 2)));
    body.replaceChildren(
      h("section", { class: "panel histogram" },
        h("div", { class: "row legend" }, ["good", "reject", "unknown"].filter((verdict) => count(verdict)).map((verdict) => h("span", { class: "key" }, verdictIcon(verdict), `${WORDS[verdict]} ${number(count(verdict))}`)), h("span", { class: "spring" }), h("span", { class: "key" }, h("i", { class: "stroke dashed" }), "in force"), h("span", { class: "key" }, h("i", { class: "stroke" }), "chosen")),
        picture, h("div", { class: "ticks" }, ticks), slider,
        h("p", { class: "muted" }, `Colours: as judged at the time. Tallest bar: ${number(most)} parts.`, overflow > 0 && ` The last bar also holds what scored higher (${number(overflow)}).`)),
      h("section", { class: "panel threshold" },
        h("div", { class: "chooser" }, nudge(-STEP, "−"), h("div", {}, h("span", { class: "label" }, "Threshold"), output, h("small", { class: "muted" }, `in force ${score(inForce)}${product && !own ? " (of all products)" : ""}`)), nudge(STEP, "+")),
        said, h("div", { class: "column actions" }, may && apply, reset)));
    set(inForce);
  }

  listen("status", ({ detail }) => {
    if (detail.threshold_version <= drawn) return;
    drawn = detail.threshold_version;
    toast("A threshold was changed elsewhere");
    load();
  });
  await load();
}
