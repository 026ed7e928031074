// Every moment as a thumbnail: a column for each step, a row for each branch.

import { $, el, note, svg } from "./elements.js";
import { session } from "./session.js";
import { actionWords } from "./words.js";

const COLUMN = 58;
const ROW = 54;
const LEFT = 26;
const TOP = 14;
const buttons = new Map();
export const chosen = new Set(); // moments that were Shift-clicked, to be compared

let lit = []; // moments of the branches that are compared

/** Lights up moments beside those of the branch looked at. */
export function light(numbers) {
  lit = numbers;
  showTree();
}

export function clearTree() {
  buttons.forEach((button) => button.remove());
  buttons.clear();
  chosen.clear();
  lit = [];
}

/** Gives each moment its row: the first child goes on in its parent's, each other takes a new one. */
function rows() {
  const found = new Map();
  let free = 0;
  const waiting = [session.nodes[0]];
  found.set(0, free++);
  while (waiting.length) {
    let node = waiting.pop();
    if (!found.has(node.number)) found.set(node.number, free++);
    while (node.children.length) {
      const [first, ...others] = node.children;
      others.reverse().forEach((number) => waiting.push(session.nodes[number]));
      found.set(first, found.get(node.number));
      node = session.nodes[first];
    }
  }
  return [found, free];
}

export function showTree() {
  const [row, count] = rows();
  const line = new Set([...lit, ...session.line().map((node) => node.number)]);
  const first = session.nodes[0].depth;
  const place = (node) => [LEFT + (node.depth - first) * COLUMN, TOP + row.get(node.number) * ROW];
  const paths = [];
  let last = 0;
  for (const node of session.nodes) {
    const [x, y] = place(node);
    last = Math.max(last, x);
    const button = buttons.get(node.number) ?? thumbnail(node);
    Object.assign(button.style, { left: `${x}px`, top: `${y}px` });
    button.classList.toggle("line", line.has(node.number));
    button.classList.toggle("at", node.number === session.at);
    button.classList.toggle("chosen", chosen.has(node.number));
    if (node.parent !== null) paths.push(connection(place(session.nodes[node.parent]), [x, y], line.has(node.number)));
  }
  const drawn = $("tree-canvas").querySelector("svg");
  drawn.replaceChildren(...paths.sort((one, other) => one.classList.length - other.classList.length));
  const size = [last + COLUMN + LEFT, TOP + count * ROW + 6];
  drawn.setAttribute("width", size[0]);
  drawn.setAttribute("height", size[1]);
  Object.assign($("tree-canvas").style, { width: `${size[0]}px`, height: `${size[1]}px` });
  $("tree").classList.toggle("grown", count > 2);
  buttons.get(session.at)?.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "smooth" });
}

function connection([x1, y1], [x2, y2], onLine) {
  const [from, to] = [[x1 + 46, y1 + 23], [x2, y2 + 23]];
  const middle = (from[0] + to[0]) / 2;
  const drawn = svg("path", { d: `M${from} C${middle},${from[1]} ${middle},${to[1]} ${to}` });
  if (onLine) drawn.classList.add("line");
  return drawn;
}

function thumbnail(node) {
  const words = node.action === undefined ? "the beginning" : actionWords(node.action);
  const image = el("img", { src: session.frame(node, node.frames - 1), alt: "", className: "pixels", loading: "lazy" });
  const button = el("button", { title: `Step ${node.depth}: ${words}`, "aria-label": `Step ${node.depth}: ${words}`,
    onclick: (event) => click(node, event) }, image);
  button.dataset.node = node.number;
  button.classList.toggle("ended", node.ended);
  buttons.set(node.number, button);
  $("tree-canvas").append(button);
  return button;
}

function click(node, event) {
  if (event.detail) event.currentTarget.blur(); // by mouse: keys are the world's again
  if (event.shiftKey) {
    if (!chosen.delete(node.number)) chosen.add(node.number);
    showTree();
    $("tree").dispatchEvent(new CustomEvent("choose"));
  } else {
    session.change("go", { node: node.number }).catch((error) => note(error.message, { bad: true }));
  }
}
