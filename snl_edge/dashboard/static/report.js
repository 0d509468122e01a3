// Report: what the line did in a time, and the same as files to keep.

import { get } from "./api.js";
import { changesTable } from "./changes.js";
import { VERDICTS, WORDS, choice, h, moment, number, reason, score, verdictIcon } from "./dom.js";
import { openPart } from "./part.js";

const TIMES = [["shift", "Last shift that ended"], ["1", "Last hour"], ["8", "Last 8 hours"], ["24", "Last 24 hours"], ["168", "Last 7 days"], ["own", "From – to"]];
const OUTCOMES = ["done", "late", "failed", "unknown", "open"];
const STOOD = { stopped: () => "stopped", died: () => "process died after its last part", paused: (one) => `paused by ${one.actor}` };

const percent = (share, digits = 1) => number(100 * share, digits);
const rate = (row) => (row.reject_rate == null ? "–" : `${percent(row.reject_rate)} % (${row.interval.map((end) => percent(end)).join(" to ")})`);

function table(title, head, rows, foot) {
  return rows.length > 0 && h("section", { class: "panel" }, h("h2", {}, title), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
    h("table", { class: "numbers" }, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell))))))), foot && h("p", { class: "muted" }, foot));
}

const parts = (title, rows, name = (row) => row.name) => table(`By ${title.toLowerCase()}`, [title, "Parts", ...VERDICTS.map((verdict) => WORDS[verdict]), "Reject rate"],
  rows.map((row) => [name(row), number(row.parts), ...VERDICTS.map((verdict) => number(row[verdict])), rate(row)]));

function figures({ total }) {
  const figure = (label, value, note) => h("div", { class: "figure" }, h("span", { class: "label" }, label), h("strong", {}, value), note && h("span", { class: "muted" }, note));
  return h("section", { class: "panel headline", "aria-label": "All parts" }, figure("Parts", number(total.parts)), VERDICTS.map((verdict) => figure(WORDS[verdict], number(total[verdict]))),
    figure("Reject rate", total.reject_rate == null ? "–" : `${percent(total.reject_rate)} %`, total.interval && `95 % sure: ${total.interval.map((end) => percent(end)).join(" to ")} %`));
}

function notes(report) {
  const unknown = report.actuators.reduce((sum, one) => sum + one.unknown - one.acknowledged, 0);
  const told = [
    report.kept_from != null && `Retention has removed records from before ${moment(report.kept_from)}: they are in no figure here.`,
    !report.total.parts && "No part was recorded in this time.",
    report.shadow > 0 && `${number(report.shadow)} of these parts were decided but not acted upon (shadow mode, or old files).`,
    report.unrecorded > 0 && `${number(report.unrecorded)} more parts were fail-safe and are in no figure here: the disk could not take them.`,
    unknown > 0 && `${number(unknown)} outcomes at actuators are unknown and not acknowledged: check the bin.`,
    report.changes_left_out > 0 && `${number(report.changes_left_out)} earlier changes are left out.`,
  ].filter(Boolean);
  return told.length > 0 && h("ul", { class: "notes" }, told.map((text) => h("li", {}, text)));
}

function stops(rows) {
  return rows.length > 0 && h("section", { class: "panel" }, h("h2", {}, "Stops and pauses"), h("ul", { class: "plainlist" }, rows.map((one) => h("li", {},
    `${moment(one.since)} – ${one.until == null ? "still" : moment(one.until)}: ${STOOD[one.kind](one)}, ${number(one.seconds / 60)} min of this time${one.why ? ` (${one.why})` : ""}`))));
}

function worst(rows) {
  const show = async (one) => openPart((await get(`/api/parts?verdict=reject&limit=1&before=${one.id + 1}`)).parts, 0, true);
  return rows.length > 0 && h("section", { class: "panel" }, h("h2", {}, "Worst parts"), h("div", { class: "gallery" }, rows.map((one) => {
    const kind = one.heatmap ? "heatmap" : one.image ? "image" : null;
    return h("button", { type: "button", class: "card", "data-id": one.id, onclick: () => show(one) },
      h("div", { class: "well" }, kind ? h("img", { src: `/api/parts/${one.id}/${kind}?size=small`, alt: "", loading: "lazy" }) : h("span", { class: "empty" }, "No picture kept")),
      h("div", { class: "tab v-reject" }, verdictIcon("reject"), h("b", {}, score(one.score)), `limit ${score(one.threshold)}`),
      h("div", { class: "about" }, h("b", {}, one.product ?? "–"), h("span", { class: "muted" }, moment(one.captured)), h("span", { class: "muted camera-name" }, one.camera)));
  })));
}

export async function reportPage({ page, line }) {
  const wanted = { hours: "24", from: "", to: "", shifts: localStorage.getItem("shifts") ?? "" };
  let asked = 0;
  const body = h("div", { class: "report" });
  const span = h("p", { class: "now" });
  const files = { csv: h("a", { class: "button", download: "" }, "CSV of all parts"), html: h("a", { class: "button", download: "" }, "Page with pictures") };
  const own = h("div", { class: "row own", hidden: true }, ["from", "to"].map((end) => h("label", { class: "field" }, h("span", { class: "label" }, end), h("input", { type: "datetime-local", onchange: (event) => { wanted[end] = event.target.value; load(); } }))));
  const shifts = h("input", { type: "text", value: wanted.shifts, placeholder: "06:00,14:00,22:00", maxlength: 200, onchange: () => { wanted.shifts = shifts.value.trim(); localStorage.setItem("shifts", wanted.shifts); load(); } });
  page.append(h("section", { class: "panel filters" }, h("div", { class: "row" },
    choice("Time", TIMES, wanted.hours, (value) => { wanted.hours = value; own.hidden = value !== "own"; load(); }),
    h("label", { class: "field wide" }, h("span", { class: "label" }, "Shifts begin"), shifts), h("span", { class: "spring" }), files.csv, files.html), own, span), body);

  function query() {
    const search = new URLSearchParams();
    const now = line.status?.time ?? Date.now() / 1000;
    if (wanted.shifts) search.set("shifts", wanted.shifts);
    if (wanted.hours === "shift" && !wanted.shifts) throw new Error("Say when shifts begin: 06:00,14:00,22:00");
    if (wanted.hours === "own") {
      if (!wanted.from) throw new Error("Choose from when, and until when if not now.");
      search.set("since", new Date(wanted.from).getTime() / 1000);
      search.set("until", wanted.to ? new Date(wanted.to).getTime() / 1000 : now);
    } else if (wanted.hours !== "shift") {
      search.set("since", now - 3600 * wanted.hours);
      search.set("until", now);
    }
    return search;
  }

  async function load() {
    const turn = ++asked;
    for (const link of Object.values(files)) { // never of another time than the figures
      link.removeAttribute("href");
      link.setAttribute("aria-disabled", "true");
    }
    try {
      const report = await get(`/api/report?${query()}`);
      if (turn === asked) draw(report);
    } catch (error) {
      if (turn !== asked) return;
      span.textContent = "";
      body.replaceChildren(h("section", { class: "panel" }, h("p", { class: "bad" }, error.message)));
    }
  }

  function draw(report) {
    const search = new URLSearchParams({ since: report.since, until: report.until });
    files.csv.href = `/api/records.csv?${search}`;
    if (wanted.shifts) search.set("shifts", wanted.shifts);
    files.html.href = `/api/report.html?${search}`;
    for (const link of Object.values(files)) link.removeAttribute("aria-disabled");
    span.textContent = `${report.line}: ${moment(report.since)} – ${moment(report.until)}`;
    body.replaceChildren(...[figures(report), notes(report),
      parts("Shift", report.shifts, (row) => `${moment(row.since)} – ${moment(row.until)}`), parts("Product", report.products), parts("Camera", report.cameras), parts("Order and lot", report.orders),
      table("Reasons", ["Why", "Verdict", "Parts"], report.reasons.map((one) => [reason(one.reason), WORDS[one.verdict], number(one.count)])),
      table("At actuators", ["Actuator", ...OUTCOMES, "acknowledged", "worst delay"], report.actuators.map((one) => [one.actuator, ...OUTCOMES.map((outcome) => number(one[outcome])), number(one.acknowledged), one.latest_ms == null ? "–" : `${number(one.latest_ms)} ms`])),
      stops(report.standstills), worst(report.worst),
      report.changes.length > 0 && h("section", { class: "panel" }, h("h2", {}, "Changes, newest first"), changesTable([...report.changes].reverse())),
      h("p", { class: "muted" }, "Reject rate: of the judged parts, fail-safe ones left out; in brackets the 95 % confidence interval.")].filter(Boolean));
  }

  await load();
}
