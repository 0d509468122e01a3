// Health: every check of the line, the worst first; drift by itself; rejects that somebody has to look for.

import { change } from "./api.js";
import { confirm, h, lightIcon, number, toast } from "./dom.js";

const WORDS = { ok: "OK", warning: "WARNING", failed: "FAILED" };
const ORDER = ["failed", "warning", "ok"];

// What is said of a product's scores or threshold leads to them.
function scoresOf({ name }, products) {
  const product = /^(?:drift|threshold) (.+)$/.exec(name)?.[1];
  return products.includes(product) && h("a", { class: "button", href: `#scores?${new URLSearchParams({ product })}` }, "Look at its scores");
}

function list(title, checks, none, products) {
  const sorted = [...checks].sort((a, b) => ORDER.indexOf(a.light) - ORDER.indexOf(b.light));
  return h("section", { class: "panel checks" }, h("h2", {}, title), sorted.length ? sorted.map((check) =>
    h("div", { class: `check ${check.light}` }, lightIcon(check.light), h("strong", {}, check.name), h("span", { class: "word" }, WORDS[check.light]), h("p", {}, check.text), check.light !== "ok" && scoresOf(check, products)))
    : h("p", { class: "muted" }, none));
}

const rejects = (count) => (count === 1 ? "1 reject" : `${number(count)} rejects`);

// Rejects of a process that died. It stays where it is, so that the button does not go from under a finger.
function lookFor(line, mayAcknowledge) {
  const text = h("p", { class: "muted" });
  const button = h("button", { type: "button", class: "wide", onclick: async () => {
    const seen = line.status.unaccounted; // what comes while the question stands was not looked for
    if (!seen || !await confirm(`Have you looked for ${rejects(seen.rejects)}?`, ["In the bin and on the line: each may or may not have been sorted out.", "Your acknowledgement goes into the journal."], "Acknowledge", true)) return;
    const done = await change("/api/acknowledge", { last: seen.last });
    if (done) toast(`${rejects(done.rejects)} acknowledged`);
  } }, "Acknowledge…");
  const panel = h("section", { class: "panel control", hidden: true }, h("h2", {}, "Check the bin"), text,
    h("a", { class: "button", href: "#parts?unaccounted" }, "Look at them"), mayAcknowledge && button);
  const update = () => {
    const { unaccounted: lost } = line.status;
    panel.hidden = !lost;
    if (lost) text.textContent = `The line's process ended before it was known whether ${rejects(lost.rejects)} of run ${lost.runs.join(", ")} moved.`;
  };
  return { panel, update };
}

export function healthPage({ page, line, listen, session }) {
  const { panel, update: asked } = lookFor(line, session.may.includes("/api/acknowledge"));
  const checked = h("div", { class: "column" });
  const column = h("div", { class: "column" });
  page.append(h("div", { class: "column" }, panel, checked), column);
  const update = () => {
    if (!line.status) return;
    const { checks, recipe, recipe_hash: hash, products, threshold_version: version } = line.status;
    const drift = checks.filter((check) => check.name.startsWith("drift"));
    const facts = [["Recipe", recipe], ["Engine", hash.slice(0, 12)], ["Products", products.join(", ")], ["Threshold version", String(version)]];
    asked();
    checked.replaceChildren(list("Line", checks.filter((check) => !drift.includes(check)), "Nothing is checked.", products));
    column.replaceChildren(list("Drift", drift, "No reference to compare with yet.", products),
      h("section", { class: "panel" }, h("h2", {}, "What is running"), h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))));
  };
  listen("status", update);
  update();
}
