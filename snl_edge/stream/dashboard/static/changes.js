// Changes: who changed what on the line.

import { get } from "./api.js";
import { h, moment } from "./dom.js";

const plain = (value) => (typeof value === "number" ? String(Math.round(value * 1e4) / 1e4) : value === null ? "all" : typeof value === "object" ? JSON.stringify(value) : String(value));

export async function changesPage({ page }) {
  const { changes } = await get("/api/audit");
  page.append(h("section", { class: "panel" }, h("h2", {}, "Changes, newest first"),
    changes.length ? h("table", { class: "list" },
      h("thead", {}, h("tr", {}, ["When", "Who", "What", "Details"].map((name) => h("th", {}, name)))),
      h("tbody", {}, changes.map((one) => h("tr", {}, h("td", { class: "nowrap" }, moment(one.time)), h("td", {}, one.actor), h("td", {}, h("b", {}, one.action)),
        h("td", {}, Object.entries(one.detail).map(([name, value]) => h("span", { class: "pair" }, h("span", { class: "muted" }, `${name} `), plain(value))))))))
      : h("p", { class: "muted" }, "Nobody has changed anything yet.")));
}
