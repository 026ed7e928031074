// What if? Several futures asked for at once: other actions, or the same one under other noise.

import { $, HUES, el, note } from "./elements.js";
import { alternatives } from "./controls.js";
import { openComparison, playComparison } from "./compare.js";
import { session } from "./session.js";

/** Opens the window that asks which futures. */
export function askFutures() {
  const dialog = $("futures-dialog");
  const words = session.world.controls.kind === "words";
  const steps = el("input", { type: "number", min: 1, max: 20, value: words ? 1 : 3, name: "steps" });
  const choices = words ? [] : alternatives().map(choice);
  const typed = words && el("textarea", { placeholder: "One future a line", "aria-label": "Instructions, one a line",
    value: session.ideas.map(([, text]) => text).join("\n") });
  const redraw = el("input", { type: "checkbox", id: "same-action" });
  const form = el("form", { method: "dialog" },
    el("p", { className: "quiet" }, `From step ${session.node.depth}, each held for as many steps:`),
    ...(words ? [typed] : choices.map((one) => one.row)),
    el("div", { className: "row" }, el("label", {}, "Steps", steps)),
    el("label", { className: "check" }, redraw, "Only the first, three times, each under noise of its own"),
    el("div", { className: "end" },
      el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      el("button", { className: "accent", id: "ask-futures" }, "Imagine them")));
  form.onsubmit = (event) => {
    event.preventDefault();
    let actions = words ? typed.value.split("\n").map((one) => one.trim()).filter(Boolean)
      : choices.filter((one) => one.input.checked).map((one) => one.action);
    if (redraw.checked) actions = Array(3).fill(actions[0]);
    if (actions.length < 2 || actions[0] === undefined) return note("Choose two futures or more.");
    dialog.close();
    imagine(actions, Number(steps.value), redraw.checked);
  };
  dialog.replaceChildren(el("h2", {}, "What if?"), form);
  dialog.showModal();
}

function choice([words, action], index) {
  const input = el("input", { type: "checkbox", checked: index < 3 });
  const row = el("label", { className: "check future" }, input, el("i"), words);
  row.style.setProperty("--hue", HUES[index]);
  return { row, input, action };
}

/** Has futures imagined, and shows them side by side. */
export async function imagine(actions, steps, redraw) {
  try {
    const here = session.at;
    const leaves = await session.change("futures", { actions, steps, redraw });
    const different = [...new Set(leaves)];
    if (different.length < 2) return note("These futures are one and the same.");
    await session.change("go", { node: here }); // one goes on from where one asked
    openComparison(different.map((number) => session.nodes[number]));
    await playComparison();
  } catch (error) {
    note(error.message, { bad: true });
  }
}
