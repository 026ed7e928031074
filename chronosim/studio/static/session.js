// The session as this page knows it: its moments, the one it is at, and how to change that.

import { get, send } from "./api.js";

class Session extends EventTarget {
  key = null;
  world = null;
  nodes = [];
  at = 0;
  version = 0;
  saved = null;
  ideas = [];
  busy = null;
  #last = Promise.resolve(); // what was asked for last
  #latest = new Map(); // of each moment, the child last looked at: the way a branch goes on

  get node() {
    return this.nodes[this.at];
  }

  /** From the beginning to a moment. */
  path(number) {
    const found = [];
    for (let node = this.nodes[number]; node; node = this.nodes[node.parent]) found.unshift(node);
    return found;
  }

  /** The branch that a moment lies on: through it, and on to where it was last followed to. */
  line(number = this.at) {
    const found = this.path(number);
    for (;;) {
      const next = this.#latest.get(found.at(-1).number) ?? found.at(-1).children[0];
      if (next === undefined) return found;
      found.push(this.nodes[next]);
    }
  }

  leaves() {
    return this.nodes.filter((node) => node.children.length === 0);
  }

  frame(node, index) {
    return `api/sessions/${this.key}/nodes/${node.number}/${index}.png`;
  }

  /** Takes in what the studio says; gives whether that was another session than before. */
  take(state) {
    const other = state.session !== this.key;
    if (other) {
      this.nodes = [];
      this.#latest.clear();
    }
    this.key = state.session;
    this.busy = state.busy;
    if (!state.world) return other;
    Object.assign(this, { world: state.world, at: state.at, version: state.version });
    Object.assign(this, { saved: state.saved, noise: state.noise, ideas: state.ideas });
    for (const node of state.nodes) {
      if (this.nodes[node.number]) continue;
      this.nodes[node.number] = { ...node, children: [] };
      this.nodes[node.parent]?.children.push(node.number);
    }
    this.path(this.at).forEach((node) => this.#latest.set(node.parent, node.number));
    return other;
  }

  /** Asks for a change, after those asked for before; everyone hears of progress and outcome. */
  change(what, body = {}) {
    const ask = () => {
      const asked = { ...body, version: this.version, known: this.nodes.length };
      return this.#follow(`api/sessions/${this.key}/${what}`, asked);
    };
    const answer = this.#last.then(ask);
    this.#last = answer.catch(() => {});
    return answer;
  }

  /** Ends what the session is at, after the denoising step that runs. */
  stop() {
    return send(`api/sessions/${this.key}/stop`, {});
  }

  /** The words that the model's enhancer makes of an instruction here. */
  word(text) {
    return this.change("word", { text });
  }

  begin(asked) {
    return this.#follow("api/sessions", { ...asked, instead: this.key });
  }

  beginWith(file, asked) {
    const query = new URLSearchParams({ name: file.name ?? "", asked: JSON.stringify(asked) });
    return this.#follow(`api/sessions/frame?${query}`, file);
  }

  open(asked) {
    return this.#follow("api/sessions/open", { ...asked, instead: this.key });
  }

  async fetch(key = this.key) {
    const known = key === this.key ? this.nodes.length : 0;
    this.#tell(await get(`api/sessions/${key}?known=${known}`));
  }

  async #follow(path, body) {
    const before = this.at;
    document.body.dataset.busy = "yes";
    try {
      const told = await send(path, body, (progress) => this.#progress(progress));
      this.#tell(told.state, before);
      if (told.state?.problem) throw new Error(told.state.problem);
      return told.result;
    } catch (error) {
      if (error.state) this.#tell(error.state);
      throw error;
    } finally {
      delete document.body.dataset.busy;
      this.#progress(null);
    }
  }

  #progress(progress) {
    this.dispatchEvent(new CustomEvent("progress", { detail: progress }));
  }

  #tell(state, before = this.at) {
    if (!state) return;
    if (!state.world && this.world) {
      if (state.session === this.key) this.busy = state.busy;
      return; // a world that could not be made: the page stays with the one it has
    }
    const other = this.take(state);
    this.dispatchEvent(new CustomEvent("change", { detail: { other, before } }));
  }
}

export const session = new Session();
