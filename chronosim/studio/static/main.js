// The page: puts its parts together, answers keys that are not the controls', survives a reload.

import { $, note } from "./elements.js";
import { comparing, leaveComparison, layOutComparison, openComparison, playComparison, prepareComparison } from "./compare.js";
import { prepareControls, showControls } from "./controls.js";
import { wait } from "./film.js";
import { askFutures } from "./whatif.js";
import { askLibrary } from "./library.js";
import { showReadout } from "./readout.js";
import { session } from "./session.js";
import { askWorld, beginDefault } from "./setup.js";
import { layOut, playLine, prepareStage, still, unfold } from "./stage.js";
import { clearTree, showTree } from "./tree.js";

const fails = (error) => note(error.message, { bad: true });

function changed({ detail: { other, before } }) {
  const { world, node } = session;
  if (other) {
    location.hash = session.key;
    clearTree();
    if (comparing()) leaveComparison();
  }
  document.title = `${world.scenario} · chronosim studio`;
  $("world-line").textContent = `${world.origin} · imagined by ${world.model}`;
  showControls();
  showReadout();
  showTree();
  layOut();
  layOutComparison();
  $("back").disabled = node.parent === null;
  // A step just taken unfolds; anything else is simply there.
  if (!other && node.parent === before && node.number !== before) unfold(node);
  else still(node);
}

async function save(branch = false) {
  try {
    const { path } = await session.change("save", { what: branch ? "branch" : "tree" });
    note(`Saved to ${path}`, { id: "saved" });
  } catch (error) {
    fails(error);
  }
}

function back() {
  const { parent } = session.node;
  if (parent !== null) session.change("go", { node: parent }).catch(fails);
}

async function redraw() {
  await session.change("redraw").then(() => note("New noise: the next step leads elsewhere.", { id: "noise" }), fails);
}

function keyDown(event) {
  if (event.target.closest("textarea, input:not([type=range]), select, dialog") || !session.world) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "s") {
    event.preventDefault();
    save();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const does = {
    backspace: back,
    n: redraw,
    f: askFutures,
    c: () => (comparing() ? leaveComparison() : openComparison()),
    p: () => (comparing() ? playComparison() : playLine()),
    escape: () => comparing() && leaveComparison(),
  }[key];
  if (!does || event.repeat) return;
  event.preventDefault();
  does();
}

/** Another window may have moved the session on, or it may still be at what it was asked before. */
async function catchUp(key) {
  await session.fetch(key);
  while (session.busy) {
    session.dispatchEvent(new CustomEvent("progress", { detail: session.busy }));
    await wait(300);
    await session.fetch(key);
  }
  session.dispatchEvent(new CustomEvent("progress", { detail: null }));
}

async function begin() {
  const key = location.hash.slice(1);
  try {
    if (key) {
      await catchUp(key);
      if (session.world) return;
    }
  } catch (error) {
    fails(error);
    if (error.status !== 404) return;
  }
  await beginDefault().catch(fails);
}

prepareStage();
prepareControls();
prepareComparison();
session.addEventListener("change", changed);
addEventListener("keydown", keyDown);
addEventListener("hashchange", () => location.hash.slice(1) !== session.key && catchUp(location.hash.slice(1)).catch(fails));
addEventListener("focus", () => session.world && !session.busy && session.fetch().catch(fails));
$("new").onclick = () => askWorld().catch(fails);
$("open").onclick = () => askLibrary();
$("save").onclick = (event) => save(event.shiftKey);
$("back").onclick = back;
$("redraw").onclick = redraw;
$("futures").onclick = askFutures;
begin();
