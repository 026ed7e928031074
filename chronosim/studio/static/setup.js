// Another world: which scenario, which model, which settings, and where it begins.

import { $, el, note } from "./elements.js";
import { get, look } from "./api.js";
import { session } from "./session.js";
import { sketchPad } from "./sketch.js";

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

/** Why a world cannot begin as it is chosen; "" where it can. */
function lacking(scenario, model, file, leadsOn) {
  if (scenario?.wants && model?.small) return `${model.name} knows its own small worlds alone, and no photo: ${leadsOn}.`;
  return scenario?.wants && !file ? `${scenario.name} begins with a picture of yours: ${scenario.wants}.` : "";
}

export async function askWorld() {
  const dialog = $("world-dialog");
  const { scenarios, models, scenario, model, seed, leads_on: leadsOn } = await known();
  const now = session.world;
  const [world, worldSays] = select("scenario", scenarios, now?.scenario ?? scenario);
  const [engine, engineSays] = select("model", models, now?.model ?? model);
  const drawn = el("input", { type: "number", min: 0, max: 2147483647, value: now?.seed ?? seed, id: "seed" });
  const steps = el("input", { type: "number", min: 1, max: 200, placeholder: "the model's own" });
  const guidance = el("input", { type: "number", min: 0, max: 20, step: 0.1, placeholder: "the model's own" });
  const whole = el("input", { type: "checkbox", checked: true });
  let file = null;
  let pad = null;
  let looks = 0; // an answer that is late is not shown
  const lacks = el("p", { className: "lacks", role: "status" });
  const preview = el("div", { className: "preview" });
  const begin = el("button", { className: "accent", id: "begin" }, "Begin");
  const check = async () => {
    lacks.textContent = lacking(scenarios.find((one) => one.name === world.value), models.find((one) => one.name === engine.value), file, leadsOn);
    begin.disabled = lacks.textContent !== "";
    if (begin.disabled || file) more.open = true;
    pad = null;
    preview.replaceChildren();
    if (!file) return;
    const mine = ++looks;
    try {
      const seen = await look(file, { scenario: world.value, model: engine.value });
      const made = await sketchPad(seen.picture);
      if (mine !== looks) return;
      pad = made;
      const said = [`The world begins with this frame, ${seen.size[1]} x ${seen.size[0]}.`];
      if (seen.shown < 0.995) said.push(`${Math.round(100 * (1 - seen.shown))}% of the picture, at its edges, is cut off.`);
      if (seen.lost) said.push(`Of the file it leaves out: ${seen.lost}.`);
      preview.replaceChildren(el("p", { className: "quiet" }, said.join(" ")), pad.pad);
    } catch (error) {
      lacks.textContent = error.message;
      begin.disabled = true;
    }
  };
  const [drop, picked] = dropZone((one) => ((file = one), check()));
  const here = el("button", { type: "button", disabled: !session.world, onclick: async () => {
    const node = session.node;
    file = await (await fetch(session.frame(node, node.frames - 1))).blob();
    picked.textContent = "It begins with the frame shown.";
    check();
  } }, "Take the frame shown");
  world.addEventListener("change", check);
  engine.addEventListener("change", check);
  const more = el("details", {}, el("summary", {}, "Sampler, and a first frame of your own"),
    el("div", { className: "row" }, el("label", {}, "Denoising steps", steps), el("label", {}, "Guidance", guidance)),
    el("label", { className: "check" }, whole, "Show the frames on the way (slower), not the outcome alone"),
    drop, here, picked, preview);
  const form = el("form", { method: "dialog" },
    el("label", {}, "World", world, worldSays),
    el("label", {}, "Model", engine, engineSays),
    el("div", { className: "row" },
      el("label", {}, "Seed", drawn),
      el("label", {}, " ", el("button", { type: "button", onclick: () => (drawn.value = Math.floor(Math.random() * 1e6)) }, "Draw one"))),
    lacks,
    more,
    el("div", { className: "end" },
      el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      begin));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const sampling = {};
    if (steps.value) sampling.denoising_steps = Number(steps.value);
    if (guidance.value) sampling.guidance = Number(guidance.value);
    if (!whole.checked) sampling.decode_trajectory = false;
    const asked = { scenario: world.value, model: engine.value, seed: Number(drawn.value), sampling };
    const sketched = await pad?.drawn();
    dialog.close();
    try {
      await (file ? session.beginWith(sketched ?? file, { ...asked, instead: session.key }) : session.begin(asked));
    } catch (error) {
      note(error.message, { bad: true });
    }
  };
  dialog.replaceChildren(el("h2", {}, "Another world"), form);
  check();
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
