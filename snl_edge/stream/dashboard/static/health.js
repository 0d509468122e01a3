// Health: every check of the line, the worst first; drift by itself.

import { h, lightIcon } from "./dom.js";

const WORDS = { ok: "OK", warning: "WARNING", failed: "FAILED" };
const ORDER = ["failed", "warning", "ok"];

function list(title, checks, none) {
  const sorted = [...checks].sort((a, b) => ORDER.indexOf(a.light) - ORDER.indexOf(b.light));
  return h("section", { class: "panel checks" }, h("h2", {}, title), sorted.length ? sorted.map((check) =>
    h("div", { class: `check ${check.light}` }, lightIcon(check.light), h("strong", {}, check.name), h("span", { class: "word" }, WORDS[check.light]), h("p", {}, check.text)))
    : h("p", { class: "muted" }, none));
}

export function healthPage({ page, line, listen }) {
  const update = () => {
    if (!line.status) return;
    const { checks, recipe, recipe_hash: hash, products, threshold_version: version } = line.status;
    const drift = checks.filter((check) => check.name.startsWith("drift"));
    const facts = [["Recipe", recipe], ["Engine", hash.slice(0, 12)], ["Products", products.join(", ")], ["Threshold version", String(version)]];
    page.replaceChildren(
      list("Line", checks.filter((check) => !drift.includes(check)), "Nothing is checked."),
      h("div", { class: "column" }, list("Drift", drift, "No reference to compare with yet."),
        h("section", { class: "panel" }, h("h2", {}, "What is running"), h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])))));
  };
  listen("status", update);
  update();
}
