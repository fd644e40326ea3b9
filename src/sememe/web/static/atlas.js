// Moving about the map: drag, wheel, pinch, buttons; names appear as there is room for them.

const svg = document.querySelector("#map");
const tip = document.querySelector("#tip");
const names = svg.querySelector(".names");
const find = document.querySelector(".atlas-find input");
const count = document.querySelector(".atlas-find output");
const { width: WIDTH, height: HEIGHT } = svg.viewBox.baseVal;
const MARGIN = Number(svg.dataset.margin);
const MOST_ZOOM = 24;
const NAME = { height: 17, character: 6.6, room: Number(svg.dataset.room ?? 11_000), most: Number(svg.dataset.names ?? 70) }; // pixels

// The most frequent first: they are drawn last, and named first.
const dots = [...svg.querySelectorAll(".dots a")].reverse().map((link) => {
  const path = link.firstElementChild;
  const [x, y] = path.getAttribute("d").slice(1, -2).split(" ").map(Number);
  const label = path.querySelector("title").textContent;
  path.querySelector("title").remove(); // the tip says it sooner
  link.setAttribute("aria-label", label);
  const share = { x: (x - MARGIN) / (WIDTH - 2 * MARGIN), y: (y - MARGIN) / (HEIGHT - 2 * MARGIN) };
  return { path, share, x, y, label, name: link.dataset.name ?? label.split(", ").slice(0, 2).join(", "), low: label.toLowerCase() };
});
const byPath = new Map(dots.map((dot) => [dot.path, dot]));
let world = { width: WIDTH, height: HEIGHT };
let view = { x: 0, y: 0, height: HEIGHT };
let drawing = 0;

// Units of the map in one pixel.
const unit = () => view.height / svg.clientHeight;

// The directions of the map mean nothing, so it may fill whatever shape the window has.
function layOut() {
  world = { width: (HEIGHT * svg.clientWidth) / svg.clientHeight, height: HEIGHT };
  for (const dot of dots) {
    dot.x = MARGIN + dot.share.x * (world.width - 2 * MARGIN);
    dot.y = MARGIN + dot.share.y * (world.height - 2 * MARGIN);
    dot.path.setAttribute("d", `M${dot.x.toFixed(1)} ${dot.y.toFixed(1)}h0`);
  }
  draw();
}

function draw() {
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => {
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${svg.clientWidth * unit()} ${view.height}`);
    names.style.setProperty("--unit", unit()); // on the names only: thousands of dots would be styled anew
    writeNames();
  });
}

function writeNames() {
  const size = unit();
  const boxes = [];
  const written = [];
  const most = Math.min(NAME.most, (svg.clientWidth * svg.clientHeight) / NAME.room);
  const searching = find.value.trim() !== "";
  for (const dot of dots) {
    if (written.length >= most) break;
    if (searching && !dot.path.classList.contains("match")) continue;
    const x = (dot.x - view.x) / size;
    const y = (dot.y - view.y) / size;
    const half = (dot.name.length * NAME.character) / 2;
    const box = [x - half, y - 9 - NAME.height, x + half, y - 9];
    if (box[0] < 0 || box[1] < 0 || box[2] > svg.clientWidth || box[3] > svg.clientHeight) continue;
    if (boxes.some((b) => box[0] < b[2] && b[0] < box[2] && box[1] < b[3] && b[1] < box[3])) continue;
    boxes.push(box);
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    text.setAttribute("x", dot.x);
    text.setAttribute("y", dot.y - 10 * size);
    text.textContent = dot.name;
    written.push(text);
  }
  names.replaceChildren(...written);
}

function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
  const height = factor === 0 ? HEIGHT : Math.min(HEIGHT, Math.max(HEIGHT / MOST_ZOOM, view.height * factor));
  const before = unit();
  const after = height / svg.clientHeight;
  view = { x: view.x + x * (before - after), y: view.y + y * (before - after), height };
  if (height === HEIGHT) view = { x: 0, y: 0, height };
  draw();
}

// ── pointer ──────────────────────────────────────────────────────────────────────────────────────────────────
const pointers = new Map();
let moved = 0;

const place = (event) => {
  const box = svg.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
};

svg.addEventListener("pointerdown", (event) => {
  pointers.set(event.pointerId, place(event));
  moved = 0;
});

addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (before === undefined) return;
  const now = place(event);
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
  if (others.length === 1) {
    const distance = (at) => Math.hypot(at.x - others[0].x, at.y - others[0].y) || 1;
    zoom(distance(before) / distance(now), others[0].x, others[0].y);
  } else {
    view.x -= (now.x - before.x) * unit();
    view.y -= (now.y - before.y) * unit();
    draw();
  }
  moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
  pointers.set(event.pointerId, now);
});

for (const name of ["pointerup", "pointercancel"]) addEventListener(name, (event) => pointers.delete(event.pointerId));

svg.addEventListener("click", (event) => {
  if (moved > 6) event.preventDefault(); // the end of a drag is not a choice
});
svg.addEventListener("dragstart", (event) => event.preventDefault());
svg.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const { x, y } = place(event);
    zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 250), x, y);
  },
  { passive: false },
);

// ── names and search ─────────────────────────────────────────────────────────────────────────────────────────
function showTip(dot) {
  tip.hidden = dot === undefined;
  if (dot === undefined) return;
  tip.textContent = dot.label;
  const x = (dot.x - view.x) / unit();
  tip.style.left = `${Math.min(svg.clientWidth - tip.offsetWidth - 4, Math.max(4, x - tip.offsetWidth / 2))}px`;
  tip.style.top = `${Math.max(4, (dot.y - view.y) / unit() + 14)}px`;
}

svg.addEventListener("pointerover", (event) => showTip(byPath.get(event.target)));
svg.addEventListener("pointerleave", () => showTip(undefined));
svg.addEventListener("focusin", (event) => showTip(byPath.get(event.target.querySelector("path"))));
svg.addEventListener("focusout", () => showTip(undefined));

find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let matches = 0;
  for (const dot of dots) {
    const match = words.length > 0 && words.every((word) => dot.low.includes(word));
    dot.path.classList.toggle("match", match);
    matches += match;
  }
  svg.classList.toggle("finding", words.length > 0);
  count.textContent = words.length > 0 ? `${matches} found` : "";
  draw();
});

document.querySelector(".zoom").hidden = false;
document.querySelector(".zoom").addEventListener("click", (event) => {
  const factor = event.target.dataset.zoom;
  if (factor !== undefined) zoom(Number(factor));
});
svg.addEventListener("keydown", (event) => {
  if (event.key === "+" || event.key === "=") zoom(0.6);
  else if (event.key === "-") zoom(1 / 0.6);
  else if (event.key === "0") zoom(0);
});
new ResizeObserver(layOut).observe(svg);
