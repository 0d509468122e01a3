// The frame around the pages: navigation, alarms, connection, theme.

import { Connection, get, since } from "./api.js";
import { REASONS, age, h, icon, lightIcon, toast } from "./dom.js";
import { changesPage } from "./changes.js";
import { controlsPage } from "./controls.js";
import { healthPage } from "./health.js";
import { livePage } from "./live.js";
import { partsPage } from "./parts.js";
import { reportPage } from "./report.js";
import { scoresPage } from "./scores.js";

const PAGES = {
  live: ["Live", livePage],
  parts: ["Parts", partsPage],
  scores: ["Scores", scoresPage],
  report: ["Report", reportPage],
  health: ["Health", healthPage],
  changes: ["Changes", changesPage],
  controls: ["Controls", controlsPage],
};
const STATES = { starting: "STARTING", running: "RUNNING", paused: "PAUSED", draining: "STOPPING", stopped: "STOPPED" };
const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };

const element = (id) => document.getElementById(id);
const line = new Connection();
let leave = null;
let title = "";

// #page or #page?key=value
function show() {
  const [name, query = ""] = location.hash.slice(1).split("?");
  const key = name in PAGES ? name : "live";
  leave?.abort();
  leave = new AbortController();
  for (const link of element("nav").children) link.dataset.page === key ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  const page = element("page");
  page.className = key;
  page.replaceChildren();
  title = PAGES[key][0];
  entitle();
  scrollTo(0, 0);
  const listen = (kind, listener) => line.addEventListener(kind, listener, { signal: leave.signal });
  Promise.resolve(PAGES[key][1]({ page, line, listen, session, query: new URLSearchParams(query) })).catch((error) => toast(error.message, true));
}

// Which line it is stands in the browser's tab too: a plant has many.
function entitle() {
  document.title = [title, line.status?.name, "snl-edge"].filter(Boolean).join(" · ");
}

function alarm(kind, shape, title, text, target) {
  return h("a", { class: `alarm ${kind}`, href: `#${target}` }, shape, h("strong", {}, title), h("span", {}, text));
}

let alarmsShown = "";
function alarms() {
  const { status } = line;
  const rows = [];
  if (line.state === "lost") rows.push(["lost", "failed", "CONNECTION LOST", `Nothing here is live. Last heard ${age(since(line.heard))}; trying again.`, "live"]);
  else if (status) {
    if (status.state !== "running") rows.push(["warning", "warning", `LINE ${STATES[status.state]}`, status.state === "paused" ? "Parts are not judged and get the fail-safe verdict." : "Parts are not judged.", "controls"]);
    if (status.shadow) rows.push(["shadow", "warning", "SHADOW MODE", "Parts are judged and recorded, but nothing is rejected.", "controls"]);
    const bad = status.checks.filter((check) => check.light !== "ok").sort((a, b) => (a.light === "failed" ? 0 : 1) - (b.light === "failed" ? 0 : 1));
    if (bad.length) rows.push([bad[0].light, bad[0].light, bad[0].name.toUpperCase(), bad[0].text + (bad.length > 1 ? `  (+${bad.length - 1} more)` : ""), "health"]);
  }
  const text = JSON.stringify(rows);
  if (text === alarmsShown) return;
  alarmsShown = text;
  document.body.style.setProperty("--alarms", rows.length);
  element("alarms").replaceChildren(...rows.map(([kind, light, title, said, target]) => alarm(kind, lightIcon(light), title, said, target)));
}

function frame() {
  const { status } = line;
  document.body.dataset.connection = line.state;
  element("connection").lastElementChild.textContent = { live: "Connected", lost: "Connection lost", waiting: "Connecting" }[line.state];
  alarms();
  if (!status) return;
  entitle();
  element("line-name").textContent = status.name;
  element("recipe").textContent = status.recipe;
  element("state").textContent = line.state === "lost" ? "?" : STATES[status.state];
  const bad = status.checks.filter((check) => check.light !== "ok").length;
  const badge = element("nav").querySelector("[data-page=health] .badge");
  badge.textContent = bad || "";
  badge.classList.toggle("failed", status.checks.some((check) => check.light === "failed"));
}

function theme(name) {
  localStorage.setItem("theme", name);
  document.documentElement.dataset.theme = name;
  element("theme").lastElementChild.textContent = THEMES[name];
  element("theme").setAttribute("aria-label", `Colours: ${THEMES[name]}. Press to change.`);
}

element("nav").append(...Object.entries(PAGES).map(([key, [title]]) =>
  h("a", { href: `#${key}`, "data-page": key }, icon(`n-${key}`, "line"), h("span", {}, title), key === "health" && h("b", { class: "badge" }))));
element("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});
theme(localStorage.getItem("theme") in THEMES ? localStorage.getItem("theme") : "auto");
for (const kind of ["status", "connection", "tick"]) line.addEventListener(kind, frame);
const session = await get("/api/session").catch(() => ({ actor: "", role: "viewer", may: [], stale_seconds: 10, reasons: {} }));
Object.assign(REASONS, session.reasons);
addEventListener("hashchange", show);
show();
