// Elements and text. Nothing from the line is ever put in as HTML: a part's id may hold anything.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(2).filter((child) => child != null && child !== false));
  return element;
}

export const VERDICTS = ["good", "reject", "unknown", "failsafe"];
// What is said of a part besides its verdict: why it was not judged, what it was taken for, or its product.
export const subject = (part) => part.verdict === "failsafe" ? part.reason || "not judged" : part.reason === "mismatch" ? `taken for ${part.recognised}` : part.product || "not learned";
export const WORDS = { good: "GOOD", reject: "REJECT", unknown: "UNKNOWN", failsafe: "FAIL-SAFE" };
// Why a part has its verdict, in the line's words, which come with the session. What is not among them is shown as the journal has it.
export const REASONS = {};
export const reason = (key) => (REASONS[key] ? `${key}: ${REASONS[key]}` : key);
const LIGHTS = { ok: "good", warning: "failsafe", failed: "reject" };

export function icon(name, extra = "") {
  return svg("svg", { class: `icon ${extra}`, "aria-hidden": "true" }, svg("use", { href: `#${name}` }));
}

export const verdictIcon = (verdict) => icon(verdict, `v-${verdict}`);
export const lightIcon = (light) => icon(LIGHTS[light], `v-${LIGHTS[light]}`);

export function choice(label, options, value, changed) {
  const select = h("select", { onchange: () => changed(select.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return h("label", { class: "field" }, h("span", { class: "label" }, label), select);
}

export function toggle(text, on, changed) {
  const button = h("button", { type: "button", class: "toggle", "aria-pressed": String(on), onclick: () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(now));
    changed(now);
  } }, text);
  return button;
}

// Asks before a change; resolves to true or false. The safe answer has the focus.
export function confirm(title, lines, action, dangerous = false) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "confirm", "aria-label": title, onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h("h2", {}, title), lines.map((line) => h("p", {}, line)),
      h("form", { method: "dialog", class: "row end" },
        h("button", { value: "no", autofocus: true }, "Cancel"),
        h("button", { value: "yes", class: dangerous ? "danger" : "primary" }, action)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

let toastTimer;
export function toast(text, bad = false) {
  const box = document.getElementById("toast");
  box.textContent = text;
  box.classList.toggle("bad", bad);
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, bad ? 12000 : 5000);
}

export const number = (value, digits = 0) =>
  value == null ? "–" : Number(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const score = (value) => number(value, 3);

const pad = (value) => String(value).padStart(2, "0");

export function moment(seconds) {
  const time = new Date(seconds * 1000);
  const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
  if (time.toDateString() === new Date().toDateString()) return clock;
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())} ${clock}`;
}

export function age(seconds) {
  if (seconds < 1.5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}
