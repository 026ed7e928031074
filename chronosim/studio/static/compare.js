// Branches side by side: the moment they part from, a line to each, all playing at once.

import { $, HUES, el, note, svg } from "./elements.js";
import { draw, fit, picture, wait } from "./film.js";
import { session } from "./session.js";
import { pace, positions } from "./stage.js";
import { chosen, light, showTree } from "./tree.js";
import { actionWords } from "./words.js";

const MOST = 6;
let shown = []; // {film, canvas, words, score}
let fork = null;
let turn = 0;

export const comparing = () => shown.length > 0;

/** The branches that part where the one looked at last does, or those that were chosen. */
function branches() {
  if (chosen.size > 1) return [...chosen].map((number) => session.nodes[number]).slice(0, MOST);
  const line = session.line();
  for (const node of [...line].reverse()) {
    if (node.children.length > 1) return node.children.slice(0, MOST).map((child) => session.line(child).at(-1));
  }
  return [];
}

export function openComparison(leaves = branches()) {
  if (leaves.length < 2) {
    note("There is one branch so far: ask What if? (F), or step back and take another way.");
    return;
  }
  const paths = leaves.map((leaf) => session.path(leaf.number));
  let shared = 0;
  while (paths.every((path) => path[shared] && path[shared] === paths[0][shared])) shared++;
  fork = paths[0][Math.max(0, shared - 1)];
  closeComparison();
  shown = paths.map((path, index) => branch(path.slice(shared), index));
  if (shown.some((one) => one.film.length === 0)) {
    shown = [];
    note("One of the chosen moments lies on the way to another: choose moments of different branches.");
    return;
  }
  $("stage").hidden = true;
  $("comparison").hidden = false;
  document.querySelector("main").classList.add("comparing");
  $("branches").replaceChildren(...shown.map((one) => one.figure));
  tell();
  draw($("moment").querySelector("canvas"), session.frame(fork, fork.frames - 1));
  light(shown.flatMap((one) => one.path.map((node) => node.number)));
  $("compare-position").max = Math.max(...shown.map((one) => one.film.length)) - 1;
  seek(Number($("compare-position").max));
  layOutComparison();
}

function closeComparison() {
  turn++;
  shown = [];
  $("comparison").hidden = true;
  $("stage").hidden = false;
  document.querySelector("main").classList.remove("comparing");
}

/** Back to one world; nothing stays chosen. */
export function leaveComparison() {
  closeComparison();
  chosen.clear();
  light([]);
}

function tell() {
  const count = ["", "", "Two", "Three", "Four", "Five", "Six"][shown.length];
  $("moment").querySelector("h2").textContent = `One moment, ${count.toLowerCase()} futures`;
  const { scenario, model } = session.world;
  $("moment").querySelector("p").textContent = `${scenario}, imagined by ${model}, from step ${fork.depth} on`;
}

function branch(path, index) {
  const canvas = el("canvas");
  const words = el("p");
  const score = el("span", { className: "score" });
  const leaf = path.at(-1);
  const go = el("button", { className: "go", title: "Go on from here",
    onclick: () => session.change("go", { node: leaf.number }).then(leaveComparison, (error) => note(error.message, { bad: true })) },
    path[0] ? `${actionWords(path[0].action)}` : "");
  const figure = el("div", { className: "branch" }, canvas, go, words, score);
  figure.style.setProperty("--hue", HUES[index]);
  return { film: positions(path), canvas, words, score, figure, path };
}

function seek(place) {
  $("compare-position").value = place;
  for (const one of shown) {
    const [node, index] = one.film[Math.min(place, one.film.length - 1)];
    draw(one.canvas, session.frame(node, index));
    one.words.textContent = node.text.length > 240 ? `${node.text.slice(0, 238)}…` : node.text;
    const until = one.path.slice(0, one.path.indexOf(node) + 1);
    const total = until.reduce((sum, each) => sum + (each.reward ?? 0), 0);
    one.score.textContent = `step ${node.depth} · reward ${total.toFixed(2)}${node.ended ? " · the end" : ""}`;
  }
}

export async function playComparison() {
  if ($("compare-play").textContent === "❚❚") return turn++;
  const mine = ++turn;
  $("compare-play").textContent = "❚❚";
  const last = Number($("compare-position").max);
  await Promise.all(shown.flatMap((one) => one.film.slice(0, 90).map(([node, index]) => picture(session.frame(node, index)).catch(() => null))));
  for (let place = 0; place <= last && mine === turn; place++) {
    seek(place);
    await wait(pace(shown[0].film[Math.min(place, shown[0].film.length - 1)][0]));
  }
  $("compare-play").textContent = "▶";
}

/** Makes the frames as large as the page allows, and draws the lines from the moment to them. */
export function layOutComparison() {
  if (!comparing()) return;
  const box = document.querySelector("main").getBoundingClientRect();
  const moment = $("moment").querySelector("canvas");
  const [, small] = fit(moment, session.world, 180, Math.max(70, box.height * 0.16));
  const gaps = 40 * (shown.length - 1) + 60;
  const height = box.height - small - 40 - 156;
  for (const one of shown) {
    const [width] = fit(one.canvas, session.world, (box.width - gaps) / shown.length, height);
    one.figure.style.width = `${Math.max(width, 170)}px`;
  }
  requestAnimationFrame(drawFan);
}

function drawFan() {
  const origin = $("comparison").getBoundingClientRect();
  const from = $("moment").querySelector("canvas").getBoundingClientRect();
  const start = [from.left + from.width / 2 - origin.left, from.bottom - origin.top];
  const lines = shown.map((one, index) => {
    const to = one.canvas.getBoundingClientRect();
    const end = [to.left + to.width / 2 - origin.left, to.top - origin.top];
    const middle = (start[1] + end[1]) / 2;
    return svg("path", { d: `M${start} C${start[0]},${middle} ${end[0]},${middle} ${end}`, stroke: HUES[index] });
  });
  $("fan").replaceChildren(...lines);
}

export function prepareComparison() {
  $("compare").onclick = () => openComparison();
  $("compare-play").onclick = playComparison;
  $("compare-close").onclick = leaveComparison;
  $("compare-position").oninput = () => (turn++, seek(Number($("compare-position").value)));
  $("tree").addEventListener("choose", () => {
    if (chosen.size < 2) return;
    openComparison();
    if (!comparing()) (chosen.clear(), showTree());
  });
  new ResizeObserver(layOutComparison).observe(document.querySelector("main"));
}
