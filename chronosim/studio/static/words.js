// Actions and states in a few words, for captions and read-outs.

import { session } from "./session.js";

const percent = (value) => `${Math.round(Math.abs(value) * 100)}%`;

/** An action in two or three words, such as "left 40%, gas 20%". */
export function actionWords(action) {
  const controls = session.world.controls;
  if (controls.kind === "drive") {
    const [steering, gas, brake] = action;
    const way = Math.abs(steering) < 0.025 ? "straight" : `${steering < 0 ? "left" : "right"} ${percent(steering)}`;
    return [way, gas >= 0.025 && `gas ${percent(gas)}`, brake >= 0.025 && `brake ${percent(brake)}`]
      .filter(Boolean)
      .join(", ");
  }
  if (controls.kind === "place") {
    return `to ${action.map((one) => Math.round((100 * one) / controls.side)).join("%, ")}%`;
  }
  if (typeof action === "string") return action.length > 48 ? `${action.slice(0, 46)}…` : action;
  return Array.isArray(action) ? action.map((one) => one.toFixed(2)).join(", ") : controls.words?.[action - controls.first] ?? `${action}`;
}

export function stateWords(node) {
  const names = session.world.controls.state ?? [];
  return node.state.map((value, index) => [names[index] ?? `state ${index + 1}`, value]);
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 1 : 0)} s`;
}

/** Where a moment is in its world's own time. */
export function clock(node) {
  const held = session.world.seconds_per_step;
  return held ? `${(node.depth * held).toFixed(2)} s` : `step ${node.depth}`;
}
