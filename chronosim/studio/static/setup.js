// Another world: which scenario, which model, which settings, and where it begins.

import { $, el, note } from "./elements.js";
import { get } from "./api.js";
import { session } from "./session.js";

let choices = null;

export async function known() {
  choices ??= await get("api/choices");
  return choices;
}

/** Begins what the studio was started with. */
export async function beginDefault() {
  const { scenario, model, seed } = await known();
  return session.begin({ scenario, model, seed });
}

function select(name, entries, value) {
  const says = el("span", { className: "says" });
  const chosen = el("select", { name, id: `choose-${name}` }, ...entries.map((one) => {
    const needs = one.needs.length ? ` (needs ${one.needs.join(", ")})` : "";
    return el("option", { value: one.name, disabled: needs !== "", selected: one.name === value }, one.name + needs);
  }));
  const tell = () => {
    const one = entries.find((entry) => entry.name === chosen.value);
    says.textContent = [one?.says, one?.wants && `Bring a frame of your own, below: ${one.wants}.`].filter(Boolean).join(" ");
  };
  chosen.onchange = tell;
  tell();
  return [chosen, says];
}

export async function askWorld() {
  const dialog = $("world-dialog");
  const { scenarios, models, scenario, model, seed } = await known();
  const now = session.world;
  const [world, worldSays] = select("scenario", scenarios, now?.scenario ?? scenario);
  const [engine, engineSays] = select("model", models, now?.model ?? model);
  const drawn = el("input", { type: "number", min: 0, max: 2147483647, value: now?.seed ?? seed, id: "seed" });
  const steps = el("input", { type: "number", min: 1, max: 200, placeholder: "the model's own" });
  const guidance = el("input", { type: "number", min: 0, max: 20, step: 0.1, placeholder: "the model's own" });
  const whole = el("input", { type: "checkbox", checked: true });
  let file = null;
  const [drop, picked] = dropZone((one) => (file = one));
  const form = el("form", { method: "dialog" },
    el("label", {}, "World", world, worldSays),
    el("label", {}, "Model", engine, engineSays),
    el("div", { className: "row" },
      el("label", {}, "Seed", drawn),
      el("label", {}, " ", el("button", { type: "button", onclick: () => (drawn.value = Math.floor(Math.random() * 1e6)) }, "Draw one"))),
    el("details", {}, el("summary", {}, "Sampler, and a first frame of your own"),
      el("div", { className: "row" }, el("label", {}, "Denoising steps", steps), el("label", {}, "Guidance", guidance)),
      el("label", { className: "check" }, whole, "Show the frames on the way (slower), not the outcome alone"),
      drop, picked),
    el("div", { className: "end" },
      el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      el("button", { className: "accent", id: "begin" }, "Begin")));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const sampling = {};
    if (steps.value) sampling.denoising_steps = Number(steps.value);
    if (guidance.value) sampling.guidance = Number(guidance.value);
    if (!whole.checked) sampling.decode_trajectory = false;
    const asked = { scenario: world.value, model: engine.value, seed: Number(drawn.value), sampling };
    dialog.close();
    try {
      if (!file) return await session.begin(asked);
      const { lost } = await session.beginWith(file, { ...asked, instead: session.key });
      if (lost) note(`${file.name} became an RGB frame: ${lost}.`);
    } catch (error) {
      note(error.message, { bad: true });
    }
  };
  dialog.replaceChildren(el("h2", {}, "Another world"), form);
  dialog.showModal();
}

function dropZone(pick) {
  const name = el("p", { className: "quiet" });
  const input = el("input", { type: "file", accept: "image/*", hidden: true, id: "first-frame", onchange: () => take(input.files[0]) });
  const take = (file) => {
    if (!file) return;
    pick(file);
    name.textContent = `It begins with ${file.name}.`;
  };
  const zone = el("div", { className: "drop", tabIndex: 0, onclick: () => input.click(),
    ondragover: (event) => (event.preventDefault(), zone.classList.add("over")),
    ondragleave: () => zone.classList.remove("over"),
    ondrop: (event) => (event.preventDefault(), zone.classList.remove("over"), take(event.dataTransfer.files[0])) },
    "Drop an image here, or click: the world begins with it", input);
  return [zone, name];
}
