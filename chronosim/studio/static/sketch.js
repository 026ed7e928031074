// A picture to draw on: black strokes, as the paint-brush LoRA was trained with.

import { el } from "./elements.js";

/** Makes a canvas of a picture that can be drawn on; `drawn()` is its file, null as long as nothing was. */
export async function sketchPad(picture) {
  const image = await createImageBitmap(picture);
  const canvas = el("canvas", { className: "smooth", width: image.width, height: image.height, "aria-label": "The first frame: draw on it" });
  const width = el("input", { type: "range", min: 1, max: 40, value: Math.max(2, Math.round(image.width / 160)), "aria-label": "Width of the brush, pixels" });
  const strokes = [];
  const pen = canvas.getContext("2d");
  const draw = () => {
    pen.drawImage(image, 0, 0);
    Object.assign(pen, { strokeStyle: "#000", lineCap: "round", lineJoin: "round" });
    for (const stroke of strokes) {
      pen.lineWidth = stroke.width;
      pen.beginPath();
      stroke.points.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.lineTo(...stroke.points[0].map((value, axis) => (stroke.points.length > 1 ? stroke.points.at(-1)[axis] : value)));
      pen.stroke();
    }
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    strokes.push({ width: Number(width.value), points: [place(event)] });
    draw();
  };
  canvas.onpointermove = (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    strokes.at(-1).points.push(place(event));
    draw();
  };
  draw();
  const undo = el("button", { type: "button", onclick: () => (strokes.pop(), draw()) }, "Undo");
  const pad = el("figure", { className: "sketch" }, canvas,
    el("div", { className: "row" }, el("label", {}, "Brush (draw on the picture)", width), el("label", {}, " ", undo)));
  const drawn = () => (strokes.length ? new Promise((done) => canvas.toBlob(done, "image/png")) : Promise.resolve(null));
  return { pad, drawn };
}
