// Controls: pause, shadow mode, self-test, order, recipe. Each asks first and says what will happen.

import { change, get } from "./api.js";
import { confirm, h, lightIcon, toast } from "./dom.js";

const NO_ORDER = "No order is set";

function told(order) {
  const { fields = {}, ...own } = order ?? {};
  const named = Object.entries({ ...own, ...fields }).filter(([, value]) => value);
  return named.length ? named.map(([name, value]) => `${name} ${value}`).join(", ") : NO_ORDER;
}

function card(title, text, state, ...actions) {
  return h("section", { class: "panel control" }, h("h2", {}, title), h("p", { class: "muted" }, text), state, h("div", { class: "row" }, actions));
}

async function working(button, text, work) {
  const before = button.textContent;
  button.disabled = true;
  button.textContent = text;
  try { return await work(); } finally { button.disabled = false; button.textContent = before; }
}

export async function controlsPage({ page, line, listen, session }) {
  const pause = h("button", { type: "button", class: "wide", onclick: async () => {
    const paused = line.status.state !== "paused";
    const lines = paused ? ["Parts that come now are not judged. They get the fail-safe verdict and the line does with them what its file says."] : ["Parts are judged again from the next one on."];
    if (await confirm(paused ? "Pause the line?" : "Go on?", lines, paused ? "Pause" : "Go on", paused) && await change("/api/pause", { paused })) toast(paused ? "Paused" : "Running again");
  } });
  const shadow = h("button", { type: "button", class: "wide", onclick: async () => {
    const on = !line.status.shadow;
    const lines = on ? ["Parts are still judged and recorded, but NOTHING IS REJECTED: defective parts stay on the line."] : ["Rejects are sorted out again from the next part on."];
    if (await confirm(on ? "Turn shadow mode on?" : "Turn shadow mode off?", lines, on ? "Turn on" : "Turn off", on) && await change("/api/shadow", { shadow: on })) toast(on ? "Shadow mode is on" : "Shadow mode is off");
  } });
  const result = h("div", { class: "result", role: "status" });
  const test = h("button", { type: "button", class: "wide", onclick: () => working(test, "Testing…", async () => {
    const check = await change("/api/self-test", {});
    if (check) result.replaceChildren(lightIcon(check.light), h("b", {}, check.light === "ok" ? "Passed" : check.light === "warning" ? "Warning" : "Failed"), h("span", {}, check.text));
  }) }, "Run the self-test");
  const state = h("p", { class: "now" });
  const shadowState = h("p", { class: "now" });
  const orderState = h("p", { class: "now" });
  const inputs = Object.fromEntries(["order", "lot", "operator"].map((name) => [name, h("input", { type: "search", maxlength: 64, autocomplete: "off" })]));
  const setOrder = h("button", { type: "button", class: "wide", onclick: async () => {
    const wanted = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value));
    const none = told(wanted) === NO_ORDER;
    const lines = none ? ["Parts that come now carry no order, lot or operator."] : ["Parts that come now carry this, and nothing of what parts carried before.", told(wanted)];
    if (!await confirm(none ? "Clear the order?" : "Set the order?", lines, none ? "Clear order" : "Set order") || !await change("/api/order", wanted)) return;
    for (const input of Object.values(inputs)) input.value = "";
    toast(none ? "Order cleared" : "Order set");
  } }, "Set order…");
  const list = h("div", { class: "recipes" });
  const may = (path) => session.may.includes(path);
  page.append(...[
    may("/api/pause") && card("Pause", "Stops judging. Use it while the camera, light or part holder is worked on.", state, pause),
    may("/api/shadow") && card("Shadow mode", "Judges and records, but moves no actuator. Use it to try a threshold or recipe.", shadowState, shadow),
    may("/api/self-test") && card("Self-test", "Judges the golden samples, good and bad, and compares with what they are known to be.", result, test),
    may("/api/order") && h("section", { class: "panel control" }, h("h2", {}, "Order"), h("p", { class: "muted" }, "What is being made. Every part carries it into the journal and to the plant."), orderState, h("div", { class: "row" }, Object.entries(inputs).map(([name, input]) => h("label", { class: "field" }, h("span", { class: "label" }, name[0].toUpperCase() + name.slice(1)), input))), h("div", { class: "row" }, setOrder)),
    card("This browser", `Logged in as ${session.actor || "–"}${session.role === "engineer" ? "" : `, ${session.role}`}.`, null, h("button", { type: "button", class: "wide", onclick: async () => { if (await change("/api/logout", {})) location.href = "/login"; } }, "Log out")),
    h("section", { class: "panel control recipe" }, h("h2", {}, "Recipe"), h("p", { class: "muted" }, "Another bundle for other products. It is loaded beside the running one and judges its golden samples; if all are judged rightly, it takes over between two parts."), list)].filter(Boolean));

  const update = () => {
    const { status } = line;
    if (!status) return;
    const paused = status.state === "paused";
    state.textContent = paused ? "The line is paused" : `The line is ${status.state}`;
    pause.textContent = paused ? "Go on" : "Pause the line";
    pause.disabled = !["running", "paused"].includes(status.state);
    shadowState.textContent = status.shadow ? "Shadow mode is on: nothing is rejected" : "Shadow mode is off: rejects are sorted out";
    shadow.textContent = status.shadow ? "Turn shadow mode off" : "Turn shadow mode on";
    orderState.textContent = told(status.order);
    for (const row of list.children) row.classList.toggle("running", row.dataset.name === status.recipe);
  };
  listen("status", update);
  update();

  const { folder, recipes } = await get("/api/recipes");
  if (!recipes.length) list.append(h("p", {}, folder ? "The folder of bundles is empty." : "No folder of bundles is set in the line's file (dashboard.bundles)."));
  for (const recipe of recipes) {
    const load = may("/api/recipe") && h("button", { type: "button", disabled: Boolean(recipe.fault), onclick: async () => {
      if (!await confirm(`Change to ${recipe.name}?`, [`Products: ${recipe.products.join(", ")}.`, "The running recipe goes on until the new one is loaded and has judged its golden samples.", ...(told(line.status?.order) === NO_ORDER ? [] : ["Parts then carry no order until the next one is set."])], "Change recipe", true)) return;
      const done = await working(load, "Loading…", () => change("/api/recipe", { folder: recipe.folder }));
      if (done) toast(`Recipe ${recipe.name} is running: ${done.golden.text}`);
    } }, "Load");
    list.append(h("div", { class: "recipe-row", "data-name": recipe.name }, h("div", {}, h("b", {}, recipe.name), h("span", { class: "tag" }, "running"),
      h("span", { class: recipe.fault ? "bad" : "muted" }, recipe.fault || recipe.products.join(", "))), load));
  }
  update();
}
