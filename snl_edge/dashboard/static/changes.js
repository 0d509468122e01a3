// Changes: who changed what on the line.

import { get } from "./api.js";
import { h, moment } from "./dom.js";

function plain(value) {
  if (value === null) return "none";
  if (typeof value === "number") return String(Math.round(value * 1e4) / 1e4);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(plain).join(", ");
  return typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name} ${plain(one)}`).join(", ") : String(value);
}

// Before and after stand together; what was not given is not said, but no product means all that have no threshold of their own.
function entries({ before, after, product, ...rest }) {
  const pairs = product === undefined ? [] : [["product", product ?? "all others"]];
  for (const [name, value] of Object.entries(rest)) if (value !== null && plain(value) !== "") pairs.push([name, plain(value)]);
  if (after !== undefined) pairs.push(["", before === undefined ? plain(after) : `${plain(before)} → ${plain(after)}`]);
  return pairs;
}

export async function changesPage({ page, line, listen }) {
  const key = (status) => [status?.threshold_version, status?.state, status?.shadow, status?.recipe, status?.unaccounted?.last].join();
  let shown = key(line.status);
  const load = async () => draw(page, (await get("/api/audit")).changes);
  listen("status", ({ detail }) => { if (key(detail) !== shown) { shown = key(detail); load(); } });
  await load();
}

function draw(page, changes) {
  page.replaceChildren(h("section", { class: "panel" }, h("h2", {}, "Changes, newest first"), changes.length ? changesTable(changes) : h("p", { class: "muted" }, "Nobody has changed anything yet.")));
}

export function changesTable(changes) {
  return h("table", { class: "list audit" }, h("thead", {}, h("tr", {}, ["When", "Who", "What", "Details"].map((name) => h("th", {}, name)))),
    h("tbody", {}, changes.map((one) => h("tr", {}, h("td", {}, moment(one.time)), h("td", {}, one.actor), h("td", {}, h("b", {}, one.action)),
      h("td", {}, entries(one.detail).map(([name, value]) => h("span", { class: "pair" }, h("span", { class: "muted" }, `${name} `), value)))))));
}
