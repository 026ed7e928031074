// What is known of the moment looked at: state, score, time, noise.

import { $, el, svg } from "./elements.js";
import { session } from "./session.js";
import { actionWords, seconds, stateWords } from "./words.js";

export function showReadout() {
  const node = session.node;
  const states = stateWords(node);
  const path = session.path(session.at).slice(1);
  const facts = [
    ...states.slice(2).map(([name, value]) => [name.split(", ")[0], value === null ? "–" : `${value.toFixed(2)} ${name.split(", ")[1] ?? ""}`]),
    ["action", node.action === undefined ? "–" : actionWords(node.action)],
    ["predicted in", seconds(node.seconds)],
    ["frames", `${node.frames}`],
    ["noise", session.noise === node.noise ? shortNoise(node.noise) : `${shortNoise(session.noise)} (new)`],
    ["moments", `${session.nodes.length}`],
    ["futures kept", `${session.leaves().length}`],
  ];
  $("readout").replaceChildren(
    block("Step", big(`${node.depth}`)),
    ...states.slice(0, 2).map(([name, value]) => stateBlock(name, value)),
    block("Reward", big(node.reward === undefined ? "–" : node.reward.toFixed(2)), spark(path.map((one) => one.reward))),
    el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
  );
}

function stateBlock(name, value) {
  const [what, unit = ""] = name.split(", ");
  const words = value === null ? "–" : Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0);
  return block(`Commanded ${what}`, big(words, unit));
}

const block = (name, ...inside) => el("section", {}, el("h2", {}, name), ...inside);
const big = (value, unit = "") => el("p", { className: "big" }, value, unit && el("small", {}, unit));
const shortNoise = (noise) => `…${noise.slice(-4)}`;

/** A line of rewards along the branch. */
function spark(values) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return "";
  const low = Math.min(0, ...known);
  const high = Math.max(1, ...known);
  const points = known.map((value, index) =>
    `${((100 * index) / (known.length - 1)).toFixed(1)},${(38 - (36 * (value - low)) / (high - low)).toFixed(1)}`);
  const drawn = svg("svg", { class: "spark", viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" });
  drawn.append(
    svg("path", { class: "area", d: `M0,40 L${points.join(" L")} L100,40 Z` }),
    svg("path", { d: `M${points.join(" L")}` }),
  );
  return drawn;
}
