// Small helpers to build what the page shows; text is always text, never markup.

export const $ = (id) => document.getElementById(id);

/** Makes an element: el("button", {id: "x", onclick: f}, "words", otherElement). */
export function el(kind, attributes = {}, ...inside) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...inside.filter((one) => one !== null && one !== undefined));
  return made;
}

export function svg(kind, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Tells people something; errors stay until they are read. */
export function note(words, { bad = false, id = "" } = {}) {
  if (id) document.querySelector(`.note[data-id="${id}"]`)?.remove();
  const close = el("button", { "aria-label": "Close", onclick: () => shown.remove() }, "✕");
  const shown = el("div", { className: bad ? "note bad" : "note" }, el("span", {}, words), close);
  shown.dataset.id = id;
  $("notes").append(shown);
  while ($("notes").children.length > 3) $("notes").firstChild.remove();
  setTimeout(() => shown.remove(), bad ? 20000 : 7000);
}

export const HUES = ["#f5b83d", "#62c9ff", "#ff7d93", "#93d977", "#c3a3ff", "#ff9f5a"];
