// Frames, decoded ahead of being shown, and drawn large without being blurred.

const decoded = new Map(); // address -> promise of an image; the oldest go first
const MOST = 800;

export function picture(address) {
  if (!decoded.has(address)) {
    const image = new Image();
    image.src = address;
    decoded.set(address, image.decode().then(() => image));
    decoded.get(address).catch(() => decoded.delete(address));
    if (decoded.size > MOST) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(address);
}

/** Draws a frame into a canvas of the frame's own size; the page's style enlarges it. */
export async function draw(canvas, address) {
  canvas.dataset.wanted = address;
  const image = await picture(address).catch(() => null);
  if (!image || canvas.dataset.wanted !== address) return; // a later frame was faster
  if (canvas.width !== image.naturalWidth || canvas.height !== image.naturalHeight) {
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
  canvas.dataset.shown = address;
}

/** Sizes a canvas to fit a box: small frames by whole multiples, so that all pixels are alike. */
export function fit(canvas, world, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const scale = Math.min(width / world.width, height / world.height);
  const whole = Math.floor(scale * ratio) / ratio;
  const taken = whole >= 1 ? whole : Math.max(scale, 0.05);
  canvas.style.width = `${world.width * taken}px`;
  canvas.style.height = `${world.height * taken}px`;
  canvas.classList.toggle("smooth", taken < 1.5);
  return [world.width * taken, world.height * taken];
}

export const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
