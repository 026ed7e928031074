// What is in the studio's folder: runs, data sets and episodes, to be gone on with.

import { $, el, note } from "./elements.js";
import { get } from "./api.js";
import { session } from "./session.js";

export async function askLibrary(path = "") {
  const dialog = $("library-dialog");
  let found;
  try {
    found = await get(`api/library?${new URLSearchParams({ path })}`);
  } catch (error) {
    return note(error.message, { bad: true });
  }
  const up = path && el("button", { onclick: () => askLibrary(path.split("/").slice(0, -1).join("/")) }, "Up");
  const nothing = found.entries.length === 0 && el("p", { className: "quiet" }, "Nothing here yet: what you save appears here.");
  const more = found.left_out > 0 && el("p", { className: "quiet" }, `${found.left_out} older entries are not shown.`);
  dialog.replaceChildren(
    el("h2", {}, "Go on with"),
    el("p", { className: "place" }, [found.root, found.path].filter(Boolean).join("/")),
    el("div", { className: "entries" }, ...found.entries.map(entry)),
    nothing || "", more || "",
    el("div", { className: "end" }, up || "", el("button", { onclick: () => dialog.close() }, "Close")));
  if (!dialog.open) dialog.showModal();
}

function entry(one) {
  const query = new URLSearchParams({ path: one.path });
  const seen = one.kind === "folder"
    ? el("span", { className: "folder" }, "▸")
    : el("img", { src: `api/library/frame?${query}`, alt: "", className: "pixels", loading: "lazy", onerror: (event) => event.target.removeAttribute("src") });
  const says = {
    folder: "folder",
    run: "episodes",
    episode: `${one.steps} steps${one.fork ? ", a fork" : ""}${one.world ? `, ${one.world}` : ""}`,
  }[one.kind];
  const enter = one.kind !== "episode" && el("button", { onclick: () => askLibrary(one.kind === "run" ? `${one.path}/episodes` : one.path) }, "Look in");
  const open = one.kind !== "folder" && el("button", { className: "accent", onclick: () => openIt(one.path) }, one.kind === "run" ? "Open as a tree" : "Open");
  return el("div", {}, seen, el("span", {}, one.name, el("small", {}, says)), el("span", {}, enter || "", " ", open || ""));
}

async function openIt(path) {
  $("library-dialog").close();
  try {
    const { scenario, model } = session.world ?? {};
    await session.open({ path, scenario, model });
    note(`Opened ${path}.`);
  } catch (error) {
    note(error.message, { bad: true });
  }
}
