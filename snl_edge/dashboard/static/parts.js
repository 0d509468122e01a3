// Parts: rejects, unknown products and fail-safes as the journal kept them.

import { get } from "./api.js";
import { VERDICTS, WORDS, choice, h, moment, number, score, subject, toggle, verdictIcon } from "./dom.js";
import { openPart } from "./part.js";

const PAGE = 24;
const TIMES = [["", "Any time"], ["1", "Last hour"], ["8", "Last 8 hours"], ["24", "Last 24 hours"], ["168", "Last 7 days"], ["own", "From – to"]];

export async function partsPage({ page, line, listen, query }) {
  const wanted = {
    verdicts: new Set(query.has("verdict") ? query.getAll("verdict") : ["reject", "unknown", "failsafe"]),
    product: query.get("product") || "", camera: query.get("camera") || "", part: "", order: "", hours: "", from: "", to: "",
    above: query.get("score_above"), upTo: query.get("score_to"), unaccounted: query.has("unaccounted"),
  };
  let heatmap = localStorage.getItem("gallery-heatmap") !== "off";
  let shown = [];
  let asked = 0;
  const grid = h("div", { class: "gallery", onkeydown: move });
  const older = h("button", { type: "button", class: "wide", hidden: true, onclick: () => load(true) }, "Show older");
  const fresh = h("button", { type: "button", class: "wide fresh", disabled: true, onclick: () => load() });
  const note = h("p", { class: "muted note" });

  // Arrows go from card to card as they stand, Home and End to the first and the last.
  function move(event) {
    const cards = [...grid.children];
    const at = cards.indexOf(document.activeElement);
    const columns = cards.filter((one) => one.offsetTop === cards[0].offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: cards.length - 1 - at };
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    cards[at + steps[event.key]]?.focus();
  }

  // Always there, so that nothing moves under a finger.
  const offer = (some) => { fresh.disabled = !some; fresh.textContent = some ? "Show new parts" : "No new parts"; };

  const address = (before) => {
    const search = new URLSearchParams({ limit: PAGE });
    for (const verdict of wanted.verdicts) search.append("verdict", verdict);
    const set = (key, value) => { if (value !== "" && value != null) search.set(key, value); };
    const seconds = (text) => (text ? new Date(text).getTime() / 1000 : "");
    set("product", wanted.product); set("camera", wanted.camera); set("part", wanted.part.trim()); set("order", wanted.order.trim());
    if (wanted.hours === "own") { set("since", seconds(wanted.from)); set("until", seconds(wanted.to)); }
    else if (wanted.hours) set("since", (line.status?.time ?? Date.now() / 1000) - 3600 * wanted.hours);
    set("score_above", wanted.above); set("score_to", wanted.upTo); set("before", before);
    set("unaccounted", wanted.unaccounted || null);
    return `/api/parts?${search}`;
  };

  const card = (entry) => {
    const kind = heatmap && entry.heatmap ? "heatmap" : entry.image ? "image" : null;
    return h("button", { type: "button", class: "card", "data-id": entry.id, onclick: () => openPart(shown, shown.indexOf(entry), heatmap, (index) => grid.children[index]?.focus()) },
      h("div", { class: "well" }, kind ? h("img", { src: `/api/parts/${entry.id}/${kind}?size=small`, alt: "", loading: "lazy" }) : h("span", { class: "empty" }, "No picture kept")),
      h("div", { class: `tab v-${entry.verdict}` }, verdictIcon(entry.verdict), h("b", {}, WORDS[entry.verdict])),
      h("div", { class: "about" }, h("b", {}, subject(entry)), h("span", {}, entry.score == null ? "" : score(entry.score)),
        h("span", { class: "muted" }, moment(entry.captured)), h("span", { class: "muted camera-name" }, entry.camera)));
  };

  async function load(more = false) {
    const turn = ++asked;
    offer(false);
    let found = { parts: [], more: false };
    try {
      if (wanted.verdicts.size) found = await get(address(more && shown.length ? shown[shown.length - 1].id : null));
    } catch (error) {
      if (turn === asked) { note.textContent = error.message; note.classList.add("bad"); }
      return;
    }
    if (turn !== asked) return; // a newer question is on its way
    shown = more ? [...shown, ...found.parts] : found.parts;
    if (more) grid.append(...found.parts.map(card)); else grid.replaceChildren(...shown.map(card));
    older.hidden = !found.more;
    note.classList.remove("bad");
    note.textContent = shown.length ? `${number(shown.length)} shown${found.more ? ", there are older ones" : ", that is all"}` : wanted.verdicts.size ? "No such part in the journal." : "Choose at least one verdict.";
  }

  const chips = VERDICTS.slice(1).concat("good").map((verdict) => toggle(WORDS[verdict], wanted.verdicts.has(verdict), (on) => { wanted.verdicts[on ? "add" : "delete"](verdict); load(); }));
  chips.forEach((chip, i) => { const verdict = VERDICTS.slice(1).concat("good")[i]; chip.dataset.verdict = verdict; chip.prepend(verdictIcon(verdict)); });
  const names = (list, all) => [["", all], ...list.map((name) => [name, name])];
  const status = line.status ?? { products: [], cameras: [] };
  const own = h("div", { class: "row own", hidden: true }, ["from", "to"].map((end) => h("label", { class: "field" }, h("span", { class: "label" }, end), h("input", { type: "datetime-local", onchange: (event) => { wanted[end] = event.target.value; load(); } }))));
  const range = wanted.above != null && h("button", { type: "button", class: "chip", onclick: () => { wanted.above = wanted.upTo = null; range.remove(); load(); } }, `Score ${score(wanted.above)} – ${score(wanted.upTo)}  ✕`);
  const lost = wanted.unaccounted && h("button", { type: "button", class: "chip", onclick: () => { wanted.unaccounted = false; lost.remove(); load(); } }, "Outcome unknown  ✕");
  page.append(
    h("section", { class: "panel filters" },
      h("div", { class: "row" }, chips),
      h("div", { class: "row" },
        choice("Product", names(status.products, "All products"), wanted.product, (value) => { wanted.product = value; load(); }),
        choice("Camera", names(status.cameras, "All cameras"), wanted.camera, (value) => { wanted.camera = value; load(); }),
        choice("Time", TIMES, "", (value) => { wanted.hours = value; own.hidden = value !== "own"; load(); }),
        h("label", { class: "field" }, h("span", { class: "label" }, "Part id"), h("input", { type: "search", placeholder: "exact", onchange: (event) => { wanted.part = event.target.value; load(); } })),
        h("label", { class: "field" }, h("span", { class: "label" }, "Order"), h("input", { type: "search", placeholder: "exact", onchange: (event) => { wanted.order = event.target.value; load(); } })),
        range, lost, h("span", { class: "spring" }), toggle("Heatmap", heatmap, (on) => { heatmap = on; localStorage.setItem("gallery-heatmap", on ? "on" : "off"); grid.replaceChildren(...shown.map(card)); })), own),
    fresh, grid, note, older);
  listen("status", ({ detail }) => {
    const newest = shown.length ? shown[0].id : 0;
    offer(detail.recent.some((part) => part.id > newest && wanted.verdicts.has(part.verdict) && (!wanted.product || part.product === wanted.product) && (!wanted.camera || part.camera === wanted.camera)) && !(wanted.part || wanted.order || wanted.to || wanted.above != null || wanted.unaccounted));
  });
  await load();
}
