// The large frame: shows a moment, plays how it came about, scrubs along its branch.

import { $, note } from "./elements.js";
import { draw, fit, picture, wait } from "./film.js";
import { session } from "./session.js";
import { clock, seconds } from "./words.js";

const canvas = $("frame");
let turn = 0; // whoever plays something has a number; a new one ends what was playing
let queue = Promise.resolve(); // steps play one after the other,
let waiting = 0; // so many of them still to come

/** How long each frame of a moment's trajectory is shown, milliseconds. */
export function pace(node) {
  const held = session.world.seconds_per_step ?? Math.min(2.5, 0.12 * node.frames);
  return (1000 * held) / node.frames;
}

/** All frames of a branch in order: [moment, index]. */
export function positions(line) {
  return line.flatMap((node) => Array.from({ length: node.frames }, (_, index) => [node, index]));
}

export function show(node, index = node.frames - 1) {
  draw(canvas, session.frame(node, index));
  tell(node);
  const line = session.line(session.at);
  let before = 0;
  for (const one of line) {
    if (one === node) break;
    before += one.frames;
  }
  $("position").max = positions(line).length - 1;
  $("position").value = before + index;
}

function tell(node) {
  const words = $("words");
  words.textContent = node.text ?? "Where it begins.";
  words.classList.toggle("begin", node.text === undefined);
  words.classList.toggle("long", (node.text ?? "").length > 220);
  const told = session.world.seconds_per_step ? [clock(node), `step ${node.depth}`] : [`step ${node.depth}`];
  $("clock").textContent = [...told, ...(node.ended ? ["the end"] : [])].join(" · ");
}

/** Plays the trajectory that led to a moment, after those that are playing. */
export function unfold(node) {
  const mine = turn;
  waiting++;
  queue = queue.then(() => roll(node, mine)).finally(() => waiting--);
}

async function roll(node, mine) {
  const addresses = Array.from({ length: node.frames }, (_, index) => session.frame(node, index));
  await Promise.all(addresses.map((one) => picture(one).catch(() => null)));
  // The first frame at once, whatever the pace: it answers the key.
  for (let index = 0; index < node.frames && mine === turn; index++) {
    show(node, index);
    await wait(pace(node));
  }
}

/** Waits until no more than one step is still playing: who drives on should see where. */
export async function caughtUp() {
  while (waiting > 1) await wait(15);
}

export function still(node) {
  turn++;
  show(node);
}

/** Plays the branch looked at from its beginning, and comes back to where the session is. */
export async function playLine() {
  if ($("play").textContent === "❚❚") return still(session.node);
  const mine = ++turn;
  $("play").textContent = "❚❚";
  const line = positions(session.line());
  line.slice(0, 60).forEach(([node, index]) => picture(session.frame(node, index)));
  for (let place = 0; place < line.length && mine === turn; place++) {
    const [node, index] = line[place];
    await picture(session.frame(node, index)).catch(() => null);
    show(node, index);
    line.slice(place + 1, place + 20).forEach(([one, at]) => picture(session.frame(one, at)));
    await wait(pace(node));
  }
  $("play").textContent = "▶";
  if (mine === turn) show(session.node);
}

export function layOut() {
  if (!session.world) return;
  const box = $("stage").getBoundingClientRect();
  fit(canvas, session.world, box.width, box.height - 148);
}

function showProgress(progress) {
  const box = $("progress");
  const slow = progress && progress.seconds >= 0.3;
  box.hidden = !slow;
  if (!slow) return;
  const known = progress.total > 0 && !progress.waiting;
  box.classList.toggle("unknown", !known);
  box.querySelector("i").style.width = known ? `${(100 * progress.done) / progress.total}%` : "";
  const how = progress.waiting
    ? "waiting for another session"
    : known
      ? `denoising step ${progress.done} of ${progress.total}`
      : progress.doing;
  box.querySelector("span").textContent = `${how} · ${seconds(progress.seconds)}`;
}

export function prepareStage() {
  session.addEventListener("progress", (event) => showProgress(event.detail));
  $("play").onclick = playLine;
  $("stop").onclick = () => session.stop().catch((error) => note(error.message, { bad: true }));
  $("position").oninput = () => {
    turn++;
    const [node, index] = positions(session.line())[$("position").value];
    show(node, index);
  };
  $("position").onchange = async () => {
    const [node] = positions(session.line())[$("position").value];
    await session.change("go", { node: node.number }).catch((error) => note(error.message, { bad: true }));
  };
  new ResizeObserver(layOut).observe($("stage"));
}
