// Talks to the studio: JSON one way, lines of JSON the other, the last of which is the session.

/** What the studio refused, in its own words; `state` is where the session is now, if it says. */
export class Refused extends Error {
  constructor(words, status, state) {
    super(words);
    this.status = status;
    this.state = state;
  }
}

async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused("The studio does not answer: is it still running?", 0);
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Refused(told.error ?? `The studio answered ${response.status}.`, response.status, told.state);
}

export async function get(path) {
  return (await answered(path)).json();
}

/** How a world would begin with a picture: its first frame, and what is said of it. */
export async function look(file, query) {
  const path = `api/look?${new URLSearchParams({ ...query, name: file.name ?? "" })}`;
  const response = await answered(path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file });
  return { ...JSON.parse(response.headers.get("X-Told")), picture: await response.blob() };
}

/** Sends what is asked for; calls `progress` with each line of how far it is. */
export async function send(path, body, progress = () => {}) {
  const file = body instanceof Blob;
  const response = await answered(path, {
    method: "POST",
    headers: { "Content-Type": file ? "application/octet-stream" : "application/json" },
    body: file ? body : JSON.stringify(body),
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let last = {};
  const take = (line) => {
    const told = JSON.parse(line);
    if (told.progress) progress(told.progress);
    else last = told;
  };
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Refused("The studio stopped answering in the middle; reload to see where it is.", 0);
    });
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.filter(Boolean).forEach(take);
  }
  if (rest.trim()) take(rest);
  return last;
}
