// What an action is given by: keys, a click on the frame, words, buttons or sliders.

import { $, el, note } from "./elements.js";
import { wait } from "./film.js";
import { session } from "./session.js";
import { caughtUp } from "./stage.js";

const KEYS = {
  ArrowLeft: "left", a: "left", ArrowRight: "right", d: "right",
  ArrowUp: "up", w: "up", ArrowDown: "down", s: "down", " ": "coast",
};
const held = new Set();
const strength = { steering: 0.2, gas: 0.1, brake: 0.2 };
let going = false;
let shown = "";

/** Takes an action; nothing happens while another one is answered. */
export async function act(action) {
  if (going) return;
  going = true;
  try {
    await session.change("step", { action });
  } catch (error) {
    note(error.message, { bad: true });
  } finally {
    going = false;
  }
}

/** The action of the keys that are down, for a car. */
export function driven(keys) {
  const way = (keys.has("right") ? 1 : 0) - (keys.has("left") ? 1 : 0);
  return [way * strength.steering, keys.has("up") ? strength.gas : 0, keys.has("down") ? strength.brake : 0];
}

/** As long as keys are down, step after step; a tap is one step. */
async function drive() {
  if (going) return;
  going = true;
  try {
    await wait(30); // two keys of a bend are never pressed at once
    let keys = new Set([...held, ...tapped]);
    while (keys.size) {
      tapped.clear();
      await session.change("step", { action: driven(keys) });
      await caughtUp();
      keys = new Set([...held, ...tapped]);
    }
  } catch (error) {
    held.clear();
    note(error.message, { bad: true });
  } finally {
    tapped.clear();
    going = false;
    mark();
  }
}
const tapped = new Set();

function press(key) {
  held.add(key);
  tapped.add(key);
  mark();
  drive();
}

function release(key) {
  held.delete(key);
  mark();
}

function mark() {
  document.querySelectorAll(".keys button").forEach((one) => one.classList.toggle("held", held.has(one.dataset.key)));
}

/** Where the pusher goes by a key, from where it was sent last. */
function nudged(key) {
  const side = session.world.controls.side;
  const by = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1], coast: [0, 0] }[key];
  return session.node.state.map((value, axis) => Math.min(side, Math.max(0, value + by[axis] * side * 0.12)));
}

function keyDown(event) {
  const typing = event.target.closest("textarea, input:not([type=range]), select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !session.world) return;
  const key = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const kind = session.world.controls.kind;
  const choice = Number(event.key) - 1;
  if (key && (kind === "drive" || kind === "place")) {
    event.preventDefault(); // the page would scroll, a focused button be pressed
    if (event.repeat) return;
    if (kind === "drive") press(key);
    else act(nudged(key));
  } else if (kind === "choice" && choice >= 0 && choice < session.world.controls.words.length) {
    act(session.world.controls.first + choice);
  }
}

export function prepareControls() {
  addEventListener("keydown", keyDown);
  addEventListener("keyup", (event) => release(KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]));
  addEventListener("blur", () => (held.clear(), mark()));
  $("frame").addEventListener("pointerdown", (event) => {
    if (session.world?.controls.kind !== "place") return;
    const box = $("frame").getBoundingClientRect();
    const place = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    Object.assign($("target").style, { left: `${place[0] * box.width}px`, top: `${place[1] * box.height}px` });
    $("target").hidden = false;
    act(place.map((one) => one * session.world.controls.side)).then(() => ($("target").hidden = true));
  });
}

/** Shows the controls of the session's world. */
export function showControls() {
  const controls = session.world.controls;
  const same = JSON.stringify(controls);
  $("frame-box").classList.toggle("placing", controls.kind === "place");
  if (same === shown) return;
  shown = same;
  $("controls").replaceChildren(...PANELS[controls.kind](controls));
}

const heading = (words) => el("h2", {}, words);

function slider(label, value, low, high, change) {
  const [name, unit = ""] = label.split(", ");
  const digits = (number) => (low === 0 && high === 1 ? `${Math.round(number * 100)}%` : `${number.toFixed(2)} ${unit}`);
  const told = el("output", {}, digits(value));
  const input = el("input", {
    type: "range", min: low, max: high, step: (high - low) / 200, value, "aria-label": label,
    oninput: () => {
      told.textContent = digits(Number(input.value));
      change(Number(input.value));
    },
  });
  input.value = value; // once more: its range came after it
  return el("label", { className: "slider" }, el("span", {}, name), told, input);
}

const HINTS = () => el("details", { className: "hints" }, el("summary", {}, "How to say it"), el("ul", {}, ...[
  "Name what changes, where, and how it looks afterwards: colour, material, pose.",
  "Say what stays as it is: the other things, the light, the camera.",
  "One change at a time; motion and framing only where they matter.",
  "To cut something out, say first that its background goes.",
  "80 to 100 words that begin with “The user wants to …” are what ChronoEdit was trained on.",
].map((hint) => el("li", {}, hint))));

const PANELS = {
  drive: () => [
    heading("Drive"),
    el("div", { className: "keys" }, ...[["", ""], ["up", "↑"], ["", ""], ["left", "←"], ["down", "↓"], ["right", "→"]].map(
      ([key, sign]) => (key ? keyButton(key, sign) : el("span"))), keyButton("coast", "Space: let it roll", "coast")),
    ...Object.keys(strength).map((name) => slider(name, strength[name], 0, 1, (value) => (strength[name] = value))),
  ],
  place: () => [
    heading("Push"),
    el("p", { className: "quiet" }, "Click on the frame: the pusher goes there. Arrow keys and WASD nudge it."),
  ],
  words: (controls) => {
    const typed = el("textarea", { maxLength: controls.longest, placeholder: "What happens next?", "aria-label": "Instruction" });
    const go = () => typed.value.trim() && act(typed.value.trim());
    typed.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      go();
    });
    const word = el("button", { id: "word", title: "In the words of the model's enhancer, to be read and changed before the step",
      onclick: () => typed.value.trim() && session.word(typed.value.trim()).then((worded) => (typed.value = worded), (error) => note(error.message, { bad: true })) }, "Word it out");
    return [heading("Say what happens"), typed, session.world.enhanced ? word : HINTS(),
      el("button", { className: "accent", onclick: go, id: "say" }, "Step ⏎")];
  },
  choice: (controls) => [
    heading("Choose"),
    el("div", { className: "choices" }, ...controls.words.map((words, index) =>
      el("button", { onclick: () => act(controls.first + index) }, words))),
  ],
  numbers: (controls) => {
    const rest = controls.low.map((low, index) => (low <= 0 && controls.high[index] >= 0 ? 0 : low));
    const values = [...(session.ideas[0]?.[1] ?? rest)]; // what changes the least
    numbers = values;
    return [
      heading("Set"),
      ...values.map((value, index) =>
        slider((controls.names ?? [])[index] ?? `number ${index + 1}`, value, controls.low[index], controls.high[index], (set) => (values[index] = set))),
      el("button", { className: "accent", onclick: () => act([...values]) }, "Step"),
    ];
  },
};
let numbers = [];

function keyButton(key, sign, kind = "") {
  const button = el("button", { className: kind, "aria-label": key,
    onpointerdown: () => press(key), onpointerup: () => release(key), onpointerleave: () => release(key) }, sign);
  button.dataset.key = key;
  return button;
}

/** Actions worth comparing from here: [words, action]. */
export function alternatives() {
  const controls = session.world.controls;
  const { steering, gas, brake } = strength;
  if (controls.kind === "drive") {
    return [
      [`left ${Math.round(steering * 100)}%`, [-steering, gas, 0]],
      ["straight", [0, gas, 0]],
      [`right ${Math.round(steering * 100)}%`, [steering, gas, 0]],
      [`brake ${Math.round(brake * 100)}%`, [0, 0, brake]],
    ];
  }
  if (controls.kind === "place") return ["left", "up", "right", "down"].map((way) => [way, nudged(way)]);
  if (controls.kind === "choice") {
    return controls.words.slice(0, 6).map((words, index) => [words, controls.first + index]);
  }
  return [...session.ideas.slice(0, 5), ...(controls.kind === "numbers" ? [["as the sliders say", [...numbers]]] : [])];
}
