// Changes: who changed what on the line.

import { get } from "./api.js";
import { h, moment } from "./dom.js";

const plain = (value) => (typeof value === "number" ? String(Math.round(value * 1e4) / 1e4) : value === null ? "all" : typeof value === "object" ? JSON.stringify(value) : String(value));

// Before and after stand together.
function entries({ before, after, ...rest }) {
  const pairs = Object.entries(rest).map(([name, value]) => [name, plain(value)]);
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
  page.replaceChildren(h("section", { class: "panel" }, h("h2", {}, "Changes, newest first"),
    changes.length ? h("table", { class: "list" },
      h("thead", {}, h("tr", {}, ["When", "Who", "What", "Details"].map((name) => h("th", {}, name)))),
      h("tbody", {}, changes.map((one) => h("tr", {}, h("td", { class: "nowrap" }, moment(one.time)), h("td", {}, one.actor), h("td", {}, h("b", {}, one.action)),
        h("td", {}, entries(one.detail).map(([name, value]) => h("span", { class: "pair" }, h("span", { class: "muted" }, `${name} `), value)))))))
      : h("p", { class: "muted" }, "Nobody has changed anything yet.")));
}
